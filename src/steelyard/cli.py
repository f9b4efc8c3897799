"""The command line: compare, methods, datasets, report."""

from __future__ import annotations

import datetime
import shlex
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.methods import CONTROLS

if TYPE_CHECKING:
    from rich.console import Console

    from steelyard.bench.plan import Comparison
    from steelyard.core.regime import Regime
    from steelyard.core.task import Task
    from steelyard.problems import ProblemSettings

DEFAULT_METHODS = (*CONTROLS, "focal", "ldam-drw")
PROFILES = ("exp", "step", "linear", "pareto")
MOST_SEEDS = 10_000
METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "g_mean", "mcc", "worst_recall", "few_recall", "auroc", "auprc")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="steelyard", prog_name="steelyard")
def cli() -> None:
    """Learn from class-imbalanced data: which treatment works on your data, by how much, and at what cost."""


@cli.command(short_help="Compare methods on your data, honestly.")
@click.argument("data")
@click.option("--target", metavar="COL", help="Column with the class labels, for CSV and Parquet files.")
@click.option(
    "--task",
    type=click.Choice(["auto", "images", "tables", "arrays"]),
    default="auto",
    show_default=True,
    help="What the data are; auto looks at them.",
)
@click.option(
    "--methods",
    "--method",
    "methods",
    metavar="LIST",
    help="Methods, separated by commas: names (see `steelyard methods`), with settings as in la(tau=1.5), combined as in "
    f"ldam+drw or 'loss=la transform=mixup', or module:function of your own.  [default: {','.join(DEFAULT_METHODS)}]",
)
@click.option("--controls", is_flag=True, help=f"Add the controls that are missing from --methods: {', '.join(CONTROLS)}.")
@click.option("--factor", type=float, help="Make the training rows long-tailed: largest over smallest class, 1 or more.")
@click.option("--profile", type=click.Choice(PROFILES), default="exp", show_default=True, help="Shape of the tail.")
@click.option(
    "--class-order", type=click.Choice(["index", "size", "random"]), default="index", show_default=True,
    help="Which class becomes the largest: the first, the one with most rows, or any (by --split-seed).",
)  # fmt: skip
@click.option("--noise", type=float, default=0.0, show_default=True, help="Share of training labels to replace.")
@click.option(
    "--noise-kind", type=click.Choice(["symmetric", "asymmetric", "imbalance"]), default="symmetric", show_default=True,
    help="How labels are replaced.",
)  # fmt: skip
@click.option("--seeds", default="3", show_default=True, metavar="N|LIST", help="How many, or which: 3 is 0,1,2; 7, is 7.")
@click.option("--regime", default="auto", show_default=True, help="Training recipe by name; auto chooses one for the data.")
@click.option("--epochs", type=int, help="Epochs, in place of the regime's.")
@click.option("--batch-size", type=int, help="Rows a step, in place of the regime's.")
@click.option("--lr", type=float, help="Peak learning rate, in place of the regime's.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting of the regime; repeatable.")
@click.option(
    "--model", default="auto", show_default=True, help="resnet32, small-cnn, mlp, timm:NAME, torchvision:NAME, or auto."
)
@click.option("--test", metavar="PATH", help="File with the test rows; otherwise a test split is cut from DATA.")
@click.option("--drop", metavar="COLS", help="Columns to leave out, separated by commas.")
@click.option("--missing", type=click.Choice(["error", "median"]), default="error", show_default=True, help="Missing values.")
@click.option("--resize", type=int, help="Make images this many pixels wide and high.")
@click.option("--max-rows", type=int, help="Use at most about this many training rows, for a quick look.")
@click.option("--test-fraction", type=float, default=0.25, show_default=True, help="Of the rows, where a test split is cut.")
@click.option("--valid-fraction", type=float, default=0.1, show_default=True, help="Of the training rows, for validation.")
@click.option("--split-seed", type=int, default=0, show_default=True, help="Of the splits and the tail; not of the runs.")
@click.option("--groups", default="auto", show_default=True, help="Many/Medium/Few: thresholds, terciles, index:a,b or auto.")
@click.option("--metric", type=click.Choice(METRICS), default="balanced_accuracy", show_default=True, help="To rank by.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option("--jobs", type=click.IntRange(min=0), default=0, help="Runs at a time; 0 for one a core.  [default: 0]")
@click.option(
    "--ray", is_flag=False, flag_value="auto", metavar="[ADDRESS]", help="Run on a Ray cluster; `local` starts one here."
)
@click.option("--logger", "loggers", multiple=True, metavar="NAME", help="Also log to csv, tensorboard, mlflow or wandb.")
@click.option(
    "--checkpoint-seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Between checkpoints."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for everything written.  [default: runs/DATA]")
@click.option("--report/--no-report", "report", default=True, show_default=True, help="Write report.html.")
def compare(data: str, **options: Any) -> None:
    """Train every method with every seed on DATA and say which works, by how much, and at what cost.

    DATA is a built-in name (see `steelyard datasets`), a CSV or Parquet file, a Parquet file of encoded images, an image
    folder (class/name.png), an .npz file with X and y, or a folder with train and test files of these kinds.

    All methods get the same regime, initial weights and data order. Interrupt at any moment and run the same command again:
    finished runs are not repeated and the unfinished one goes on from its checkpoint.
    """
    from rich.console import Console

    console = Console(highlight=False)
    out = options["out"] or Path("runs") / Path(data).stem
    methods, problem = _methods(options), _problem(options)
    task, regime_name, regime = _prepare(data, problem, options)
    plan = _plan(data, methods, problem, options, regime_name, regime)
    _announce(console, task, plan, out)
    _compare(console, task, plan, out, options)


def _prepare(data: str, problem: ProblemSettings, options: dict[str, Any]) -> tuple[Task, str, Regime]:
    """The task, and the regime by name and value; everything that may be wrong with the words is found out here."""
    from steelyard.bench.runner import check_folder
    from steelyard.core.loggers import check_loggers
    from steelyard.core.world import local_device
    from steelyard.face import USUAL_REGIMES
    from steelyard.problems import load
    from steelyard.settings import resolve_regime

    changes = {"epochs": options["epochs"], "batch_size": options["batch_size"], "lr": options["lr"]}
    changes |= dict(_key_value(text) for text in options["settings"])
    name = options["regime"]
    if name != "auto":
        resolve_regime(name, **changes)
    check_loggers(options["loggers"])
    if options["ray"] is None:
        local_device(options["device"])
    check_folder(options["out"] or Path("runs") / Path(data).stem)
    task = load(data, problem)
    name = USUAL_REGIMES[task.describe()["kind"]] if name == "auto" else name
    return task, name, resolve_regime(name, **changes)


def _methods(options: dict[str, Any]) -> tuple[str, ...]:
    """The methods as typed, in canonical spelling, with the missing controls where they are asked for."""
    from steelyard.settings import resolve_method, split_list

    asked = DEFAULT_METHODS if options["methods"] is None else split_list(options["methods"])
    if options["controls"]:
        asked = (*CONTROLS, *asked)
    names = [resolve_method(text).name for text in asked]
    return tuple(dict.fromkeys(names))


def _problem(options: dict[str, Any]) -> ProblemSettings:
    from steelyard.problems import ProblemSettings

    keys = (
        "target", "task", "test", "factor", "profile", "class_order", "noise", "noise_kind", "missing", "test_fraction",
        "valid_fraction", "resize", "max_rows", "model",
    )  # fmt: skip
    drop = tuple(name.strip() for name in (options["drop"] or "").split(",") if name.strip())
    return ProblemSettings(**{key: options[key] for key in keys}, seed=options["split_seed"], drop=drop)


def _key_value(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ArgumentError("--set", "KEY=VALUE, such as weight_decay=5e-4", repr(text))
    return key.strip(), value.strip()


def _seeds(text: str) -> tuple[int, ...]:
    """`3` is 0, 1, 2; `4,7` is 4 and 7; `4,` is 4 alone."""
    try:
        numbers = tuple(int(part) for part in text.rstrip().removesuffix(",").split(","))
    except ValueError:
        raise ArgumentError("--seeds", "a number of seeds, or seeds separated by commas", repr(text)) from None
    if "," in text:
        if not all(0 <= number < 2**63 for number in numbers):
            raise ArgumentError("--seeds", "seeds from 0 to 2^63 - 1", text)
        return numbers
    if not 1 <= numbers[0] <= MOST_SEEDS:
        raise ArgumentError("--seeds", f"from 1 to {MOST_SEEDS:,}", numbers[0])
    return tuple(range(numbers[0]))


def _plan(
    data: str,
    methods: tuple[str, ...],
    problem: ProblemSettings,
    options: dict[str, Any],
    regime_name: str,
    regime: Regime,
) -> Comparison:
    from steelyard.bench.plan import Comparison
    from steelyard.problems import fingerprint

    return Comparison(
        data=data,
        methods=methods,
        regime=regime,
        regime_name=regime_name,
        seeds=_seeds(options["seeds"]),
        problem=problem.to_json(),
        fingerprint=fingerprint(data, options["test"]),
        metric=options["metric"],
        groups=options["groups"],
        device=options["device"],
    )


def _announce(console: Console, task: Task, plan: Comparison, out: Path) -> None:
    from rich.markup import escape

    facts = task.describe()
    rows = ", ".join(f"{count:,} {split}" for split, count in facts["rows"].items())
    shape = f"{task.num_classes} classes, imbalance factor {facts['imbalance_factor']:.4g}"
    console.print(f"[bold]{escape(task.name)}[/bold]: {rows} rows, {shape}")
    runs = f"{len(plan.methods)} methods x {len(plan.seeds)} seeds"
    console.print(f"{runs}, regime {plan.regime_name}, {plan.regime.epochs} epochs, into {escape(str(out))}")
    for note in facts["notes"]:
        console.print(f"note: {note}", style="yellow", markup=False)


def _compare(console: Console, task: Task, plan: Comparison, out: Path, options: dict[str, Any]) -> None:
    from steelyard.bench.runner import Machine
    from steelyard.bench.runner import compare as run
    from steelyard.console import LiveDisplay
    from steelyard.facts import facts_of

    machine = Machine(options["jobs"], options["ray"], options["checkpoint_seconds"], tuple(options["loggers"]))
    facts = facts_of(task, plan) | {"name": out.name, "command": _command(), "created": _today()}
    try:
        with LiveDisplay(console, plan.metric) as display:
            result = run(plan, out, machine=machine, display=display, facts=facts)
    except KeyboardInterrupt:
        console.print("interrupted; what is finished is kept: run the same command again to go on", style="yellow")
        sys.exit(130)
    if not result.leaderboard["rows"]:
        raise SteelyardError(f"no run finished: {result.failures[0][1]}")
    _show(console, out, options["report"])
    if result.failures:
        raise SteelyardError(
            f"{len(result.failures)} of {len(plan.runs())} runs failed, the first because: {result.failures[0][1]}"
        )


def _show(console: Console, out: Path, report: bool) -> None:
    from rich.markup import escape

    from steelyard.bench.runner import current_leaderboard
    from steelyard.report import leaderboard_table, write_report

    board = current_leaderboard(out)
    console.print(leaderboard_table(board, width=console.width))
    if board.get("verdict"):
        console.print(board["verdict"], style="bold", markup=False)
    for note in board["notes"]:
        console.print(f"note: {note}", style="dim", markup=False)
    if report:
        console.print(f"report: [bold]{escape(str(write_report(out)))}[/bold]", soft_wrap=True)


def _command() -> str:
    return "steelyard " + shlex.join(sys.argv[1:])


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@cli.command(short_help="List the methods.")
@click.argument("names", nargs=-1)
def methods(names: tuple[str, ...]) -> None:
    """List every method: what it does, the words it uses, and where it comes from; with NAMES, these in full."""
    from rich.console import Console

    from steelyard.listing import WIDE, method_pages, methods_list

    console = Console(highlight=False)
    if not console.is_terminal:  # a line each, whatever reads them
        console = Console(highlight=False, width=2 * WIDE)
    if names:
        for page in method_pages(names):
            console.print(page)
    else:
        console.print(methods_list(console.width))


@cli.command(short_help="List the built-in data sets.")
def datasets() -> None:
    """List the built-in data sets, which need no download."""
    from rich.console import Console

    from steelyard.listing import datasets_table

    Console(highlight=False).print(datasets_table())


@cli.command(short_help="Write the report of a comparison again.")
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Print the leaderboard of the comparison in FOLDER and write its report.html again; also while it is still running.

    Runs that have ended since are taken in.
    """
    from rich.console import Console

    _show(Console(highlight=False), folder, report=True)


def _suggesting(error: click.UsageError) -> str:
    """Click's message as one sentence; for an unknown command with the nearest ones."""
    if isinstance(error, click.exceptions.NoSuchOption) or error.ctx is None or "No such command" not in error.format_message():
        return error.format_message()
    asked = error.format_message().split("'")[1]
    return str(UnknownName("command", asked, cli.list_commands(error.ctx)))


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {' '.join(str(message).split())}", err=True)


def main() -> None:
    """Run the command line: errors are one sentence and a non-zero exit code, never a traceback; warnings are a line each."""
    warnings.showwarning = _warn
    try:
        cli.main(standalone_mode=False)
    except click.UsageError as error:
        _fail(_suggesting(error), 2)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except SteelyardError as error:
        _fail(str(error), 1)
    except MemoryError:
        _fail("not enough memory: use fewer --jobs, a smaller --batch-size, or a larger machine", 1)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error} (this is a bug in steelyard; the traceback is in {_traceback_file()})", 70)


def _traceback_file() -> str:
    """Keep the current traceback where a bug report can find it."""
    with tempfile.NamedTemporaryFile("w", prefix="steelyard-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name


if __name__ == "__main__":
    main()
