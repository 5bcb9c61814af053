"""The command line. A command imports its API when it runs, so that `acz --help` is quick."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stdout, suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from acz.cli.backend_check import backend_check
from acz.cli.bench import bench_command
from acz.cli.convert import average_command, convert_command
from acz.cli.data import data
from acz.cli.evaluate import evaluate_command
from acz.cli.export import export_command
from acz.cli.infer import ensemble_command, infer_command
from acz.cli.models import backends, layers, models, show
from acz.cli.parity import parity_check, verify_proof_command
from acz.cli.report import report_command
from acz.cli.sweep import sweep_command
from acz.cli.train import train_command
from acz.foundation.errors import AczError
from acz.foundation.files.local import require_local
from acz.foundation.processes.environments import LivesElsewhere, run_there


class Commands(TyperGroup):
    """The group of all commands. It turns an error of a command into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Errors that a user can cause end the process with a message."""
        try:
            return super().invoke(ctx)
        except LivesElsewhere as elsewhere:
            return run_there(elsewhere)
        except AczError as error:
            _fail(_as_typed(str(error)), error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except KeyboardInterrupt:
            _fail("Interrupted. Finished work is kept; run the same command again to resume.", 130)
        except MemoryError as error:
            _fail(f"there is not enough memory{f': {error}' if str(error) else ''}; finished work is kept", 2)
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            _fail(f"{place}{error.strerror or error}; finished work is kept", 2)


app = typer.Typer(
    name="acz",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Video-classification models. Each is described once, runs in PyTorch, TensorFlow, PaddlePaddle and MindSpore, "
    "and is proved to compute the same function in all of them. Start with **acz train** and **acz parity-check**.",
    epilog="Exit codes: 0 success, 1 a check failed, 2 wrong use, wrong data or a full disk, "
    "3 a backend or device is missing, 130 interrupted. Every command takes --help.",
)


def _print_version(requested: bool) -> None:
    if requested:
        from acz.foundation.version import __version__

        typer.echo(f"acz {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("models")(models)
app.command("layers")(layers)
app.command("show")(show)
app.command("backends")(backends)
app.add_typer(data, name="data")
app.command("train")(train_command)
app.command("eval")(evaluate_command)
app.command("sweep")(sweep_command)
app.command("infer")(infer_command)
app.command("ensemble")(ensemble_command)
app.command("parity-check")(parity_check)
app.command("verify-proof")(verify_proof_command)
app.command("backend-check")(backend_check)
app.command("report")(report_command)
app.command("convert")(convert_command)
app.command("average")(average_command)
app.command("bench")(bench_command)
app.command("export")(export_command)


def main() -> None:
    """Run the command of `sys.argv`. Every error that a user can cause is one message and an exit code."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # the caller closed it, but acz and the frameworks write to it
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 (it stays open)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding can't write, such as a name, is written as \\u....
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("_ACZ_COMPLETE") == "complete_bash":
        _complete_in_bash()
    try:
        words = (part for word in sys.argv[1:] for part in re.split("[=,]", word))
        require_local(*(word for word in words if not word.startswith("ray://")))  # a cluster's address is no path
    except AczError as error:
        _fail(str(error), error.exit_code)
    app()


def _complete_in_bash() -> None:
    """Complete a word with colons, such as `flash_mnist/extractor:t`, and end the process. Return for other words.

    Bash divides a word at its colons, asks for the last part, and replaces that part alone.
    """
    parts = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
    words: list[str] = []
    for part in parts:
        if words and (part.startswith(":") or words[-1].endswith(":")):
            words[-1] += part
        else:
            words.append(part)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)
    before, colon, _ = words[-1].rpartition(":")
    if not colon:
        return
    with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
        app()
    print("\n".join(line.removeprefix(before + colon) for line in printed.getvalue().splitlines()))
    sys.exit()


def _as_typed(message: str) -> str:
    """A message about a setting of reading, with the option that sets it."""
    return re.sub(r"^(?:reading|options)\.(\w+)[\w.]*", lambda word: f"--{word[1].replace('_', '-')}", message)


def _fail(message: str, code: int) -> None:
    print(f"acz: {message}", file=sys.stderr)
    sys.exit(code)
