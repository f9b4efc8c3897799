"""The report of a comparison: one offline HTML page, and the leaderboard for the terminal. Imports no torch."""

from __future__ import annotations

from steelyard.report.page import write_report
from steelyard.report.terminal import leaderboard_table

__all__ = ["leaderboard_table", "write_report"]
