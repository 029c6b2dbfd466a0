"""From arguments to an exit status: 0 done, 2 bad input with one message on stderr, 130 interrupted."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from merging_core.cli.study_names import STUDY_NAMES
from merging_core.errors import BasinError, legible

__all__ = ["INTERRUPTED", "PROGRAM", "build", "main"]

INTERRUPTED = 130
"""The exit status of a command that was interrupted."""

PROGRAM = "python -m merging_core"


class _Commands(TyperGroup):
    """The commands, and one for every study, which is loaded when it is asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = {**self.commands, **{name: _StudyCommand(name) for name in STUDY_NAMES}}


class _StudyCommand(TyperCommand):
    """Stands in a list of commands for a study; what it is asked, the study itself answers."""

    def __init__(self, name: str) -> None:
        super().__init__(name, help=STUDY_NAMES[name])

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        return _studies()[str(self.name)].make_context(*args, **kwargs)


@cache
def _studies() -> dict[str, Any]:
    from merging_core.analysis.studies.registry import studies
    from merging_core.cli.studies import study_command

    line = typer.Typer(add_completion=False, rich_markup_mode=None)
    for info in studies():
        line.command(info.name)(study_command(info))
    return dict(get_group(line).commands)


def build() -> typer.Typer:
    """Return the command line with all its commands; those of studies come as they are asked for."""
    from merging_core.cli import (
        comparing,
        curving,
        differing,
        extracting,
        hub,
        learning,
        listing,
        making,
        measuring,
        publishing,
        recipes,
    )

    line = typer.Typer(
        cls=_Commands,
        help="See a merge before you make it: plan, merge, evaluate and interpolate checkpoints.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    line.command("methods")(listing.methods)
    line.command("zoo")(listing.zoo)
    line.command("hub")(hub.hub)
    line.command("plan")(making.plan)
    line.command("merge")(making.merge)
    line.command("evaluate")(measuring.evaluate)
    line.command("compare")(comparing.compare)
    line.command("learn")(learning.learn)
    line.command("diff")(differing.diff)
    line.command("extract-lora")(extracting.extract_lora)
    line.command("curve-point")(curving.curve_point)
    line.command("publish")(publishing.publish)
    line.add_typer(recipes.recipe_commands(), name="recipe")
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; no arguments are a request for help.

    What libraries warn of is for developers and is kept off the terminal.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status = get_command(build()).main(given, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else PROGRAM
        message = error.format_message().replace("Value error, ", "")
        return _refuse(f"{message}{'' if message.endswith(('.', '?')) else '.'} See {where} --help")
    except BasinError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _refuse(message: str) -> int:
    sys.stderr.write("".join(f"{legible(line)}\n" for line in message.split("\n")))
    return 2
