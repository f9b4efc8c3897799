"""A synthetic forest scanned from the air: leaf or wood, with occlusion and hilly ground."""

from __future__ import annotations

from steelyard.core.task import Task
from steelyard.problems._catalogue import About
from steelyard.problems._kinds.points import points
from steelyard.problems._settings import ProblemSettings

ROWS = 16758
ABOUT = About("trees", "leaf and wood points of a synthetic forest, scanned from the air (synthetic)", "points", ROWS, 2)


def trees(settings: ProblemSettings | None = None) -> Task:
    """Sixteen trees of some 1000 points, about one in ten of wood; the ground is taken out first.

    Args:
        settings: of the problem; None for the defaults. The points are always the same; `seed` chooses the trees that are held
            out.

    Example:
        >>> trees().class_names
        ('wood', 'leaf')
    """
    return points("trees", settings or ProblemSettings())
