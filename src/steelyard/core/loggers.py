"""Optional loggers (TensorBoard, MLflow, Weights & Biases, CSV) through Lightning Fabric's logger interface."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from steelyard.core.counts import Groups
from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.measure import Report
from steelyard.core.roles import Assesses


class Logger(Protocol):
    """What steelyard uses of `lightning.fabric.loggers.Logger`; any object with these methods will do."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Record the settings."""
        ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record numbers of a step."""
        ...

    def finalize(self, status: str) -> None:
        """Flush."""
        ...


class Recorder(Assesses):
    """Passes the numbers of each epoch on to a logger.

    Args:
        logger: a Fabric logger.
        settings: recorded once as hyper-parameters.
        groups: of the classes; with them the mean weights of their rows are logged as "weight_many" and so on.
    """

    def __init__(self, logger: Logger, settings: Mapping[str, Any] | None = None, groups: Groups | None = None) -> None:
        self.logger, self.groups = logger, groups
        if settings:
            with contextlib.suppress(NotImplementedError):  # Fabric's CSV logger keeps numbers only
                logger.log_hyperparams(dict(settings))

    def assess(self, report: Report) -> None:
        """Log the numbers of the epoch; lists with a number a class are for `log.jsonl`, a logger draws one curve a name."""
        line = report.line()
        del line["step"]  # begins anew with each stage; the axis of a plot should not
        scalars = {name: float(value) for name, value in line.items() if isinstance(value, int | float)}
        if self.groups is not None and report.class_weights is not None:
            scalars |= {f"weight_{name}": mean for name, mean in self.groups.means(report.class_weights).items()}
        self.logger.log_metrics(scalars, step=report.steps)

    def close(self, status: str = "success") -> None:
        """Flush and close the logger."""
        self.logger.finalize(status)


def _csv(folder: Path) -> Logger:
    from lightning.fabric.loggers.csv_logs import CSVLogger

    return cast("Logger", CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1))


def _tensorboard(folder: Path) -> Logger:
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard", version="")


def _mlflow(folder: Path) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    server = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    where = None if "MLFLOW_TRACKING_URI" in os.environ else str(folder / "mlflow")
    return MLFlowLogger(experiment_name="steelyard", run_name=folder.name, tracking_uri=server, artifact_location=where)


def _wandb(folder: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project="steelyard", name=folder.name, save_dir=folder)


LOGGERS: Mapping[str, Callable[[Path], Logger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


def check_loggers(names: Iterable[str]) -> None:
    """Refuse names of no logger.

    Raises:
        ArgumentError: one text instead of a list.
        UnknownName: no such logger.
    """
    if isinstance(names, str):
        raise ArgumentError("loggers", f"a list of names, such as ['{names}']", repr(names))
    for name in names:
        if name not in LOGGERS:
            raise UnknownName("logger", name, LOGGERS)


def open_loggers(
    names: Iterable[str], folder: Path, settings: Mapping[str, Any], groups: Groups | None = None
) -> list[Recorder]:
    """Listeners for the loggers named.

    Args:
        names: of "csv", "tensorboard", "mlflow", "wandb".
        folder: where those that write files write.
        settings: recorded as hyper-parameters.
        groups: of the classes, to log mean weights of.

    Raises:
        UnknownName: no such logger.
        SteelyardError: its library is not installed.
    """
    check_loggers(names)
    recorders = []
    for name in names:
        try:
            recorders.append(Recorder(LOGGERS[name](folder), settings, groups))
        except ModuleNotFoundError as error:
            raise SteelyardError(
                f"logger '{name}' needs the library '{error.name}'; install it: pip install 'steelyard[loggers]' {error.name}"
            ) from None
    return recorders
