"""A point cloud in memory: coordinates in double precision, and named columns beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from steelyard.core.errors import DataError

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Cloud:
    """Points in space.

    Attributes:
        xyz: coordinates in metres `[N, 3]`, float64: in single precision UTM coordinates lose decimetres.
        columns: further numbers or strings of each point, by name, `[N]` each.
        name: shown in messages and tables.
        original: what a LAS reader read, so that everything that we know nothing of is written again; None elsewhere.

    Raises:
        DataError: coordinates of another shape, or a column of another length.

    Example:
        >>> cloud = Cloud(np.array([[500000.25, 4649776.5, 3.0]]), {"label": np.array([1])})
        >>> len(cloud), cloud.local()[0].tolist()
        (1, [[0.0, 0.0, 0.0]])
    """

    xyz: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    name: str = "cloud"
    original: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the shapes."""
        xyz = np.asarray(self.xyz, np.float64)
        if xyz.ndim != 2 or xyz.shape[1] != 3:
            raise DataError(f"the coordinates of {self.name} should be [N, 3]; found shape {list(xyz.shape)}")
        object.__setattr__(self, "xyz", xyz)
        columns = {str(name): np.asarray(values) for name, values in self.columns.items()}
        for name, values in columns.items():
            if values.shape != (len(xyz),):
                raise DataError(
                    f"column '{name}' of {self.name} should hold a value for each of {len(xyz):,} points; "
                    f"found shape {list(values.shape)}"
                )
        object.__setattr__(self, "columns", columns)

    def __len__(self) -> int:
        """Points."""
        return len(self.xyz)

    def check(self) -> Cloud:
        """This cloud, if something can be computed of it.

        Raises:
            DataError: it is empty, or a coordinate is missing or infinite.
        """
        if len(self) == 0:
            raise DataError(f"{self.name} has no points")
        bad = ~np.isfinite(self.xyz).all(1)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{int(bad.sum()):,} of the {len(self):,} points of {self.name} have a coordinate that is missing or infinite "
                f"(the first is point {first + 1:,}): remove them"
            )
        return self

    def local(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates from the lowest corner on `[N, 3]`, float64, and that corner `[3]`; subtracted in double precision."""
        corner = self.xyz.min(0) if len(self) else np.zeros(3)
        return self.xyz - corner, corner

    def take(self, rows: np.ndarray) -> Cloud:
        """Some of the points, by number or by mask; what a reader kept of the file is not taken along."""
        return replace(
            self, xyz=self.xyz[rows], columns={name: values[rows] for name, values in self.columns.items()}, original=None
        )

    def with_columns(self, **more: np.ndarray) -> Cloud:
        """A copy with further columns; those of the same name are replaced."""
        return replace(self, columns={**self.columns, **more})
