"""The command ``sam-plugins``: its commands, its exit codes, its errors.

Exit codes: 0, everything was done; 1, some work failed; 2, the command was used wrongly;
130, interrupted with Ctrl-C. Every error is one line on standard error; with ``--debug``, or
SAM_PLUGINS_DEBUG=1 in the environment, the traceback is shown as well.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from sam_plugins.cli.cache import cache
from sam_plugins.cli.convert import convert
from sam_plugins.cli.demo import demo
from sam_plugins.cli.embed import embed
from sam_plugins.cli.engine import engine
from sam_plugins.cli.evaluate import evaluate
from sam_plugins.cli.export import export
from sam_plugins.cli.finetune import finetune
from sam_plugins.cli.info import info
from sam_plugins.cli.label_studio import label_studio
from sam_plugins.cli.models import models
from sam_plugins.cli.predict import predict
from sam_plugins.cli.pretrain import pretrain
from sam_plugins.cli.segment import segment
from sam_plugins.cli.terminal import one_line, say
from sam_plugins.cli.train_text import train_text
from sam_plugins.cli.validate import validate

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
# 128 + the signal's number, as shells report a program that a signal ended.
TERMINATED, BROKEN_PIPE = 143, 141

_DEBUG = "SAM_PLUGINS_DEBUG"
# UsageError. Typer does not export it, and newer versions bring a copy of click of their own.
_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """The group of all commands, which ends a run on Ctrl-C with one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            say(one_line(interrupt) if interrupt.args else "Interrupted.")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="sam-plugins",
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, segment, predict, embed, convert, validate, info, finetune, pretrain, export):
    app.command()(command)
app.command("train-text")(train_text)
app.add_typer(models, name="models")
app.add_typer(cache, name="cache")
app.add_typer(evaluate, name="evaluate")
app.add_typer(engine, name="engine")
app.add_typer(label_studio, name="label-studio")


def _version(asked: bool) -> None:
    if asked:
        from sam_plugins import __version__

        typer.echo(f"sam-plugins {__version__}")
        raise typer.Exit(DONE)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar=_DEBUG, help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Segment Anything from the command line: images in, masks out, offline.

    The model that ships with the package is small and needs no download; larger ones do.

    \b
    Begin with:
      sam-plugins demo              eight real photographs and micrographs, segmented
      sam-plugins COMMAND --help    what a command does, with examples
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(WRONG_USE)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``sam-plugins``; by default this process's own arguments.

    Returns
    -------
    int
        The exit code: see this module.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with _shown_warnings():
            code = app(given, prog_name="sam-plugins", standalone_mode=False)
        sys.stdout.flush()
        return int(code or DONE)
    except _USAGE_ERROR as error:
        return _report_wrong_use(error)
    except (KeyboardInterrupt, typer.Abort):
        say("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `sam-plugins models | head -1`; nothing more can be told it.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return BROKEN_PIPE
    except Exception as error:
        if _debugging(given):
            traceback.print_exc()
        say(f"Error: {one_line(error)}")
        return FAILED


def main() -> NoReturn:
    """Run the command that this process was started with, then end the process."""
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    sys.exit(run())


def _debugging(arguments: Sequence[str]) -> bool:
    return "--debug" in arguments or os.environ.get(_DEBUG, "") not in ("", "0")


def _report_wrong_use(error: Any) -> int:
    path = error.ctx.command_path if error.ctx else "sam-plugins"
    message = " ".join(error.format_message().split())
    say(f"Error: {message.rstrip('.')}. See '{path} --help'.")
    return WRONG_USE


@contextmanager
def _shown_warnings() -> Iterator[None]:
    """Show warnings, what is logged as such, and what a model is busy with, as one line each."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        _warn(str(message))

    def tell(record: logging.LogRecord) -> None:
        (_warn if record.levelno >= logging.WARNING else say)(record.getMessage())

    handler = logging.Handler()
    handler.emit = tell  # type: ignore[method-assign]
    logger, busy = logging.getLogger("sam_plugins"), logging.getLogger("sam_plugins.modeling")
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    level = busy.level
    busy.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
        busy.setLevel(level)


def _warn(message: str) -> None:
    say(f"Warning: {' '.join(message.split())}")


class _Interrupted(KeyboardInterrupt):
    """Ctrl-C, by another name.

    Where a ``KeyboardInterrupt`` itself leaves code that was made from text, as a dataclass's is,
    Python remembers to end the process by the signal, even if it is caught (CPython 3.11,
    ``run_eval_code_obj``).
    """


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # As an exception, so that half-written temporary files are removed on the way out.
    raise SystemExit(TERMINATED)
