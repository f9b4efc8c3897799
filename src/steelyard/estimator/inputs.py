"""What a user hands to an estimator, as one DataFrame of features and one array of labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.raw import Frame
from steelyard.data.tabular import refuse_twice

MOST_COUNTED = 2**53
"""Sum of whole weights up to which a double counts them one by one."""


def is_frame(data: Any) -> bool:
    """Is this a table with named columns (pandas, polars, pyarrow or another that speaks the interchange protocol)?"""
    return _library(data) in ("pandas", "polars", "pyarrow") or getattr(data, "__dataframe__", None) is not None


def to_frame(data: Any) -> Frame:
    """A table with named columns as a pandas DataFrame; columns keep their kind.

    Args:
        data: a DataFrame of pandas or polars (lazy ones are collected), a pyarrow table, or anything that speaks the
            interchange protocol.

    Raises:
        DataError: a column cannot be turned into one of pandas.

    Example:
        >>> import polars as pl
        >>> to_frame(pl.DataFrame({"city": ["a", None], "age": [30, None]}))["age"].tolist()
        [30.0, nan]
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    library = _library(data)
    if library == "polars":
        return _from_polars(data)
    if library == "pyarrow":
        return data.to_pandas()
    return pd.api.interchange.from_dataframe(data, allow_copy=True)


def named(frame: Frame) -> Frame:
    """The frame with text for column names, its rows numbered from 0.

    Raises:
        DataError: column names of several levels, or one name twice.
    """
    import pandas as pd

    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError("X has column names of several levels: flatten them first")
    names = [str(name) for name in frame.columns]
    refuse_twice(names, "X")
    return _without_arrow(frame.set_axis(names, axis=1)).reset_index(drop=True)


def _without_arrow(frame: Frame) -> Frame:
    """Dates, spans of time and categories of pyarrow in the types that pandas has for them."""
    import pandas as pd

    arrow = {name: dtype.pyarrow_dtype for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.ArrowDtype)}
    if not arrow:
        return frame
    import pyarrow as pa

    known = (pa.types.is_timestamp, pa.types.is_duration, pa.types.is_dictionary)
    plain = [name for name, kind in arrow.items() if any(is_one(kind) for is_one in known)]
    return frame.assign(**{name: pa.array(frame[name]).to_pandas().set_axis(frame.index) for name in plain})


def from_array(array: np.ndarray, names: list[str] | None = None) -> Frame:
    """A two-dimensional array as a frame without a copy; columns are called "0", "1", ... where there are no names."""
    import pandas as pd

    return pd.DataFrame(array, columns=[str(i) for i in range(array.shape[1])] if names is None else names, copy=False)


class TakesTables:
    """What estimators share that take any table: X as a frame with the columns of training, checked as scikit-learn does."""

    _columns: list[str]

    def _features(self, X: Any, *, reset: bool) -> Frame:
        """X as a frame; with `reset` its columns become those of training."""
        from sklearn.utils.validation import validate_data

        if is_frame(X):
            X = _collected(X)
            frame = named(to_frame(X))
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset and (len(frame) == 0 or frame.shape[1] == 0):
                raise ValueError(
                    f"Found array with {len(frame)} sample(s) and {frame.shape[1]} feature(s): at least 1 is needed"
                )
        else:
            frame = from_array(self._array(X, reset=reset))
        if reset:
            self._columns = list(frame.columns)
            return frame
        if list(frame.columns) == self._columns:
            return frame
        if is_frame(X) and set(frame.columns) == set(self._columns):
            raise ValueError(
                f"The columns of X are those of fit in another order: {', '.join(frame.columns[:5])}, ... after "
                f"{', '.join(self._columns[:5])}, ...; put them in the order of fit"
            )
        return frame.set_axis(self._columns, axis=1)

    def _array(self, X: Any, *, reset: bool) -> np.ndarray:
        """X as an array of numbers, or, where it holds text, of objects."""
        from sklearn.utils.validation import validate_data

        rules: dict[str, Any] = {"ensure_all_finite": "allow-nan", "accept_sparse": False}
        array: np.ndarray
        try:
            array = validate_data(self, X, reset=reset, dtype="numeric", **rules)
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            array = validate_data(self, np.asarray(X, dtype=object), reset=reset, dtype=None, **rules)
        return array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


def labels_of(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Classes in ascending order `[C]`, in the type of the labels, and the number of each row's class `[N]`.

    Args:
        y: labels `[N]`: numbers, text, truth values, categories or dates, as an array, list or column.

    Raises:
        ValueError: as scikit-learn's classifiers do, for labels that are no classes.

    Example:
        >>> labels_of(["b", "a", "b"])[1].tolist()
        [1, 0, 1]
    """
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    if y is None:
        raise ValueError("SteelyardClassifier requires y to be passed, but the target y is None")
    values = _plain(y)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ValueError(
            f"Multilabel and multioutput targets are not supported. y has the shape {values.shape}: give one column"
        )
    values = column_or_1d(values, warn=True)
    missing = _missing(values)
    if missing:
        raise ValueError(f"Input y contains NaN: {missing} of {len(values)} rows have no label; remove or label them")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("Input y contains infinity: remove or label these rows")
    try:
        classes, codes = np.unique(values, return_inverse=True)
    except TypeError:
        kinds = " and ".join(sorted({type(value).__name__ for value in values}))
        raise ValueError(f"Unknown label type: {kinds} values in one column of labels; make them all of one type") from None
    if values.dtype.kind in "biufOS":
        check_classification_targets(values)
    return classes, codes.reshape(-1).astype(np.int64)


def weights_of(sample_weight: Any, rows: int) -> np.ndarray | None:
    """Row weights float64 `[N]`; None where all are equal.

    Whole numbers say how often a row is there. Others say no more than how much rows count beside each other, so they are
    scaled to mean 1 over the rows of weight above 0.

    Raises:
        ValueError: negative or missing weights, all zero, or of another length than the rows.

    Example:
        >>> weights_of([1.0, 1.0], 2) is None, weights_of([1, 2], 2).tolist()
        (True, [1.0, 2.0])
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, int | float):
        sample_weight = np.full(rows, float(sample_weight))
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    if len(weights) != rows:
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(rows,)}!")
    if not np.isfinite(weights).all():
        raise ArgumentError("sample_weight", "finite numbers", "NaN or infinity")
    if (weights < 0).any():
        raise ArgumentError("sample_weight", "numbers of 0 or more", float(weights.min()))
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all weights are zero")
    if bool((weights == weights[0]).all()):
        return None
    if (weights == weights.round()).all() and weights.sum() <= MOST_COUNTED:
        return weights
    weights = weights / weights.max()
    scaled: np.ndarray = weights / weights[weights > 0].mean()
    return scaled


def _library(data: Any) -> str:
    return type(data).__module__.partition(".")[0]


def _collected(data: Any) -> Any:
    """A lazy frame with its rows; anything else as it is."""
    if _library(data) != "polars":
        return data
    import polars as pl

    return data.collect() if isinstance(data, pl.LazyFrame) else data


def _from_polars(data: Any) -> Frame:
    """Column by column, mostly through numpy, which gives every kind the type that pandas uses for it."""
    import pandas as pd

    data = _collected(data)
    return pd.DataFrame({series.name: _from_series(series) for series in data.get_columns()}, copy=False)


def _from_series(series: Any) -> Any:
    import pandas as pd
    import polars as pl

    kind = series.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return pd.Categorical(series.cast(pl.String).to_list())
    if isinstance(kind, pl.Decimal):
        return series.cast(pl.Float64).to_numpy()
    if isinstance(kind, pl.Boolean):
        return pd.array(series.to_list(), dtype="boolean") if series.null_count() else series.to_numpy()
    if kind.is_numeric():
        return series.cast(pl.Float64).to_numpy() if series.null_count() else series.to_numpy()
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(kind, pl.Date | pl.Datetime | pl.Duration):
        wide = series.cast(pl.Datetime("us")) if isinstance(kind, pl.Date) else series
        return wide.to_numpy()
    if isinstance(kind, pl.Time):
        return pd.arrays.ArrowExtensionArray(series.to_arrow())
    if isinstance(kind, pl.String | pl.Null):
        return np.array(series.to_list(), dtype=object)
    raise DataError(f"column '{series.name}' holds {kind} values, which are neither numbers nor categories: drop it first")


def _plain(y: Any) -> Any:
    """Labels of a column type of pandas or polars as a numpy array of the plainest type."""
    import pandas as pd

    if _library(y) == "polars":
        y = to_frame(y) if type(y).__name__ == "DataFrame" else pd.Series(_from_series(y))
    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    if isinstance(y, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        if not isinstance(y.dtype, np.dtype):
            return _without_pandas(pd.Series(y).astype(object).infer_objects())
        y = np.asarray(y)
    array = np.asarray(y)
    if array.dtype.kind == "U" and isinstance(y, list | tuple) and any(str(label).endswith("\0") for label in y):
        array = np.asarray(y, dtype=object)  # numpy's own text loses such ends
    if array.dtype == object and array.ndim == 1:
        return _without_pandas(pd.Series(array, dtype=object).infer_objects())
    return array


def _without_pandas(series: Any) -> np.ndarray:
    """Numpy values; text stays a column of Python's own."""
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series.to_numpy())
    return np.asarray(series.astype(object).to_numpy(), dtype=object)


def _missing(values: np.ndarray) -> int:
    import pandas as pd

    return int(pd.isna(values).sum()) if values.dtype.kind in "fOM" else 0
