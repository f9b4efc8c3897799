"""The command line: diagnose, compare, tune, fit, predict, methods, datasets, tasks, report."""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

from steelyard.cli.comparing import compare
from steelyard.cli.diagnosing import diagnose
from steelyard.cli.fitting import fit
from steelyard.cli.predicting import predict
from steelyard.cli.segmenting import segment
from steelyard.cli.show import show
from steelyard.cli.tuning import tune
from steelyard.core.errors import SteelyardError, UnknownName


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="steelyard", prog_name="steelyard")
def cli() -> None:
    """Learn from class-imbalanced data: which treatment works on your data, by how much, and at what cost."""


cli.add_command(diagnose)
cli.add_command(compare)
cli.add_command(tune)
cli.add_command(fit)
cli.add_command(predict)
cli.add_command(segment)


@cli.command(short_help="List the methods.")
@click.argument("names", nargs=-1)
def methods(names: tuple[str, ...]) -> None:
    """List every method: what it does, the words it uses, and where it comes from; with NAMES, these in full."""
    from steelyard.console import open_console
    from steelyard.listing import method_pages, methods_list

    console = open_console(wide=True)
    if names:
        for page in method_pages(names):
            console.print(page)
    else:
        console.print(methods_list(console.width))


@cli.command(short_help="List the built-in data sets.")
def datasets() -> None:
    """List the built-in data sets, which need no download."""
    from steelyard.console import open_console
    from steelyard.listing import datasets_table

    open_console(wide=True).print(datasets_table())


@cli.command(short_help="List the kinds of data with a protocol of their own.")
def tasks() -> None:
    """List the kinds of data with a protocol of their own, for --task, with their settings and methods."""
    from steelyard.console import open_console
    from steelyard.listing import tasks_list

    open_console(wide=True).print(tasks_list())


@cli.command(short_help="Write the report of a comparison again.")
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Print the leaderboard of the comparison in FOLDER and write its report.html again; also while it is still running.

    Runs that have ended since are taken in.
    """
    from steelyard.console import open_console

    show(open_console(), folder, report=True)


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
