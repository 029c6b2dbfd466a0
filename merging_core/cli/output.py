"""Where answers go: stdout, once, as text or as one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import typer

__all__ = ["answer", "plain"]


def answer(text: str, document: Any, *, as_json: bool) -> None:
    """Print the text, or the document as JSON; what is not a finite number there is null."""
    typer.echo(json.dumps(plain(document), allow_nan=False, ensure_ascii=False, indent=2) if as_json else text)


def plain(value: Any) -> Any:
    """Return what JSON can hold: tuples as lists, keys as text, NaN and infinities as null.

    >>> plain({"loss": float("nan"), "interval": (0.1, 0.2)})
    {'loss': None, 'interval': [0.1, 0.2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
