"""The command line. Commands import what they need when they run, so that `acz --help` is quick."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from acz.cli.bench import bench_command
from acz.cli.convert import convert_command
from acz.cli.data import data
from acz.cli.evaluate import evaluate_command
from acz.cli.export import export_command
from acz.cli.infer import ensemble_command, infer_command
from acz.cli.models import backends, models, show
from acz.cli.parity import parity_check
from acz.cli.report import report_command
from acz.cli.sweep import sweep_command
from acz.cli.train import train_command
from acz.foundation.errors import AczError


class Commands(TyperGroup):
    """Turns what a command raises into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AczError as error:
            _fail(str(error), error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except KeyboardInterrupt:
            _fail("Interrupted. Finished work is kept; run the same command again to resume.", 130)
        except MemoryError as error:
            _fail(f"there is not enough memory{f': {error}' if str(error) else ''}; finished work is kept", 2)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror or error}; finished work is kept", 2)


app = typer.Typer(
    name="acz",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Video-classification models, described once and run by PyTorch, TensorFlow, PaddlePaddle and MindSpore: "
    "one function, proved equal. Start with **acz train** and **acz parity-check**.",
    epilog="Exit codes: 0 done, 1 a check failed, 2 wrong use, 3 a backend or device is missing.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from acz.foundation.version import __version__

        typer.echo(f"acz {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("models")(models)
app.command("show")(show)
app.command("backends")(backends)
app.add_typer(data, name="data")
app.command("train")(train_command)
app.command("eval")(evaluate_command)
app.command("sweep")(sweep_command)
app.command("infer")(infer_command)
app.command("ensemble")(ensemble_command)
app.command("parity-check")(parity_check)
app.command("report")(report_command)
app.command("convert")(convert_command)
app.command("bench")(bench_command)
app.command("export")(export_command)


def main() -> None:
    """Run a command; every error that a user can cause is one message and an exit code."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # closed by who started this: frameworks and we expect something there
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 (it stays open)
    app()


def _fail(message: str, code: int) -> None:
    print(f"acz: {message}", file=sys.stderr)
    sys.exit(code)
