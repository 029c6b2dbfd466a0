"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "Family"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Family = Annotated[
    str | None,
    typer.Option(help="The zoo's family whose tasks are used; by default the one with the same leaves."),
]
