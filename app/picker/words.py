"""What a look at a method found, in sentences that someone new to merging understands."""

from __future__ import annotations

from app.studio.workbench import Numbers

__all__ = ["sentences", "words_of"]


def words_of(found: Numbers) -> str:
    """Say what was looked at, and of how much.

    >>> sample = {"of": 999, "leaves": 37, "leaf": None, "shape": None, "whole": False}
    >>> words_of({"n": 812, "sample": sample})
    '812 of 999 numbers, from 37 leaves; ranks and majorities are those among them'
    """
    sample, n = found["sample"], _count(found["n"])
    if sample["leaf"] is None:
        leaves = f"{sample['leaves']} leaves"
        return f"{n} of {_count(sample['of'])} numbers, from {leaves}; ranks and majorities are those among them"
    shape = " × ".join(map(str, sample["shape"]))
    part = "the leaf" if sample["whole"] else "a corner of the leaf"
    return f"{n} of {_count(sample['of'])} numbers: {part} {sample['leaf']}, {shape}"


def sentences(found: Numbers) -> list[Numbers]:
    """Return the three shares, each with a name and a sentence: what is kept, dropped, and disputed."""
    ground = "stay as in the base" if found["base"] else "are zero"
    survive = found["survive"]
    own = f" Each expert's mask keeps {_percent(survive)} of its own." if survive is not None and survive < 1.0 else ""
    changed = "are changed by the merge." if found["base"] else "are not zero in the merge."
    rows = [
        ("kept", found["kept"], changed + own),
        ("dropped", found["dropped"], f"{ground}, though an expert moved them."),
    ]
    if len(found["experts"]) > 1:
        rows.append(("disputed", found["disputed"], _disputed(found)))
    return [
        {"name": name, "value": share, "text": _percent(share), "sentence": sentence} for name, share, sentence in rows
    ]


def _disputed(found: Numbers) -> str:
    if found["stronger"] is None:
        return "are pulled up by one expert and down by another."
    ways = [
        (found["stronger"], "go with the side that pulls harder"),
        (found["zeroed"], "become zero"),
        (found["weaker"], "go against it"),
    ]
    told = [f"{_percent(share)} {what}" for share, what in ways if share >= 0.0005]  # noqa: PLR2004
    return f"are pulled up by one expert and down by another. Of these {_listed(told)}."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if 0.0 < round(100 * share) < 100 or share in (0.0, 1.0) else f"{100 * share:.1f} %"  # noqa: PLR2004


def _count(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")
