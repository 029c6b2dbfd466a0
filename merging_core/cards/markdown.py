"""Markdown that says what it was given: text from outside stays text, whoever renders it."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["code_block", "inert", "table"]

_LONGEST = 200
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_PLAIN = re.compile(r"(?:zoo:)?[^\W\d_](?:[^\W_]|[ ,/%()=-]|(?<=[0-9])\.(?=[0-9]))*")
"""Words that mean nothing in Markdown, wherever they stand."""
_BACKTICKS = re.compile(r"`+")


def inert(text: str) -> str:
    r"""Return text that no renderer reads as markup, link, picture, heading or table: one line, at most 200 characters.

    >>> print(inert("a|b <img src=x> [x](javascript:1)"))
    a\|b &lt;img src\=x&gt; \[x\]\(javascript\:1\)
    >>> print(inert("zoo:tiny/digits-2"), inert("www.example.com"))
    zoo:tiny/digits-2 www\.example\.com
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    if len(shown) > _LONGEST:
        shown = shown[: _LONGEST - 1] + "…"
    if _PLAIN.fullmatch(shown):
        return shown
    return _PUNCTUATION.sub(lambda match: _ENTITIES.get(match.group(), "\\" + match.group()), shown)


def code_block(text: str, language: str = "") -> str:
    """Return a fenced block; the fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
