"""Comparisons: the plan, its runs in worker processes, the store of finished runs and the leaderboard."""
