"""The page about the command line, written from its own help: `python -m merging_core.cli.manual > docs/cli.md`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

from typer.main import get_command

from merging_core.cli.main import PROGRAM, build

__all__ = ["markdown"]

_INTRODUCTION = f"""\
# Command line

<!-- Written by `python -m merging_core.cli.manual`; a test fails when it is stale. -->

`{PROGRAM}` does what the studio does, without a page. A checkpoint is named as in a recipe:
`zoo:tiny/digits` for the embedded zoo, `file:/models/expert` for a folder or a file of this machine,
`local:runs/expert` for a folder below the one that `BASIN_MODELS` names,
`hub:owner/name` or `hub:owner/name@revision` for a model of the Hugging Face Hub. A [recipe](recipe.md) is a JSON or
YAML file.

- Answers go to stdout: aligned text, or one JSON document with `--json`. Accuracies carry n and a 95 % interval.
- Status 0: done. Status 2: bad input, with one message on stderr and nothing else; it names every problem that could be
  found, one a line. Status 130: interrupted; nothing half-written stays. That takes seconds, also within one large
  matrix.
- `merge`, `learn` and studies show their progress on stderr if that is a terminal: of a merge bytes, pass, pace and
  time left. `merge --json-progress` writes it there for programs. All but `merge` runs on the CPU.
- `plan` and `hub show` read headers of the Hub and download nothing; the others download what is missing, check it by
  sha256 and keep it below `BASIN_CACHE` (by default the system's folder for caches). A branch or tag is resolved once,
  to a commit. Requests carry the token in `HF_TOKEN`, or none; `HF_ENDPOINT` names another Hub.
- `diff` compares leaves of the same name and shape, in float64, and names the others. Relative means ‖A − B‖ ÷ ‖A‖; a
  leaf that is zero has no cosine. Sign conflict: of the elements that differ from the base in both, how many moved in
  opposite directions. It reads piece by piece, so a model need not fit into memory.
- What `diff` and `extract-lora` compute, and what an adapter cannot hold, is in [differences.md](differences.md).
- The last commands are studies ([geometry.md](geometry.md)): their models are references or recipes' files, they
  measure on validation and train and never on test, and `--out` keeps a folder with which the same command goes on.
- A checkpoint from outside the zoo is scored on the tasks of the family that has the same leaves, or of `--family`.
"""

_WIDTHS: dict[str, Any] = {"terminal_width": 100, "max_content_width": 100}


def markdown() -> str:
    """Return the page as Markdown."""
    names = _names(get_command(build()))
    return "\n".join([_INTRODUCTION, *(f"## {name}\n\n```text\n{_help(name)}\n```\n" for name in names)])


def _names(group: Any) -> list[str]:
    """Return every command, and those of a group below it."""
    found = []
    for name in group.list_commands(None):
        below = group.get_command(None, name)
        found += [f"{name} {one}" for one in below.commands] if hasattr(below, "commands") else [name]
    return found


def _help(name: str) -> str:
    with ExitStack() as contexts:
        command = get_command(build())
        context = contexts.enter_context(command.make_context(PROGRAM, [], resilient_parsing=True, **_WIDTHS))
        for word in name.split():
            command = command.get_command(context, word)  # type: ignore[attr-defined]
            context = contexts.enter_context(command.make_context(word, [], parent=context, resilient_parsing=True))
        return str(context.command.get_help(context)).rstrip()


if __name__ == "__main__":
    sys.stdout.write(markdown())
