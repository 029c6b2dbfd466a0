"""What a run said, as numbers for charts: as many points as a chart can show, with what they are means of."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["MOST", "numbers_of"]

MOST = 160
"""Points of a curve."""
_FALL = 0.01
"""How far accuracy falls before a word is said where the examples do not prove it."""


def numbers_of(
    head: dict[str, Any], lines: Iterable[dict[str, Any]], now: dict[str, Any] | None, about: dict[str, Any]
) -> dict[str, Any]:
    """Return the numbers of a run (see docs/architecture.md).

    `about`: its tasks and experts with titles and colours, its objective, subset and split.
    """
    said = list(lines)
    moments = [line for line in said if line["kind"] == "moment"]
    checks = [line for line in said if line["kind"] == "checked"]
    now = now or {}
    steps = now.get("steps") or about["steps"]
    return {
        **about,
        "step": now.get("step", 0),
        "steps": steps,
        "phase": now.get("phase", ""),
        "seconds_left": now.get("seconds_left"),
        "curve": _curve(moments, steps),
        "checks": checks,
        "baseline": next((line for line in said if line["kind"] == "baseline"), None),
        "coefficients": _cells(head, now.get("coefficients") or []),
        "density": _density(head, now.get("density") or []),
        "fall": fall_of(checks),
    }


def fall_of(checks: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Say whether the last check has lost accuracy since the best one while what is minimised went down.

    `clear`: whether the paired interval leaves no room for chance.

    >>> since = {"step": 25, "difference": -0.02, "interval": [-0.03, -0.01], "loss": [6.8, 6.3]}
    >>> fall_of([{"since": since}])["clear"]
    True
    """
    since = checks[-1]["since"] if checks else None
    if since is None or None in since["loss"] or since["loss"][1] >= since["loss"][0]:
        return None
    clear = since["interval"][1] < 0
    return {**since, "clear": clear} if clear or since["difference"] <= -_FALL else None


def _curve(moments: Sequence[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Return the losses over steps: means over neighbouring moments where there are more than a chart can show."""
    width = max(1, math.ceil(steps / MOST))
    groups: dict[int, list[dict[str, Any]]] = {}
    for moment in moments:
        groups.setdefault(max(0, moment["step"] - 1) // width, []).append(moment)
    parts = list(groups.values())
    return {
        "steps": [_mean([one["step"] for one in part]) for part in parts],
        "loss": [_mean([one["loss"] for one in part]) for part in parts],
        "losses": [[_mean(row) for row in zip(*(one["losses"] for one in part), strict=True)] for part in parts],
        "coefficients": [part[-1].get("coefficients") for part in parts],
        "density": [part[-1].get("density") for part in parts],
        "smooth": _smooth(moments, [part[-1]["step"] for part in parts], steps),
        "width": width,
    }


def _smooth(moments: Sequence[dict[str, Any]], ends: Sequence[int], steps: int) -> dict[str, Any]:
    """Return the mean losses over the last twentieth of all steps, at the end of each part."""
    window = max(5, math.ceil(steps / 20))
    recent: deque[dict[str, Any]] = deque()
    left = deque(moments)
    total, each = [], []
    for end in ends:
        while left and left[0]["step"] <= end:
            recent.append(left.popleft())
        while recent[0]["step"] <= end - window:
            recent.popleft()
        total.append(_mean([one["loss"] for one in recent]))
        each.append([_mean(row) for row in zip(*(one["losses"] for one in recent), strict=True)])
    return {"steps": list(ends), "loss": total, "losses": each, "window": window}


def _cells(head: dict[str, Any], rows: Sequence[Sequence[float]]) -> dict[str, Any] | None:
    """Return coefficients by expert and leaf; by depth where there are more leaves than a chart can show."""
    if not rows or not rows[0]:
        return None
    order = head.get("order", [])
    if len(rows[0]) == 1 or len(rows[0]) != len(order):
        return {"by": "expert", "columns": [""], "names": [""], "rows": [[row[0]] for row in rows]}
    depths, names = ([head[name][place] for place in order] for name in ("depths", "leaves"))
    rows = [[row[place] for place in order] for row in rows]
    if len(names) <= MOST:
        return {"by": "leaf", "columns": depths, "names": names, "rows": rows}
    found = list(dict.fromkeys(depths))
    return {
        "by": "depth",
        "columns": found,
        "names": found,
        "rows": [_by_depth(found, depths, [1] * len(depths), row) for row in rows],
    }


def _density(head: dict[str, Any], values: Sequence[float]) -> dict[str, Any] | None:
    """Return the share that the mask keeps at each depth, leaves counting by their size."""
    order = head.get("order", [])
    if not values or len(values) != len(order):
        return None
    depths, sizes = ([head[name][place] for place in order] for name in ("depths", "sizes"))
    values = [values[place] for place in order]
    found = list(dict.fromkeys(depths))
    whole = sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)
    return {"columns": found, "values": _by_depth(found, depths, sizes, values), "whole": whole}


def _by_depth(
    found: Sequence[str], depths: Sequence[str], sizes: Sequence[int], values: Sequence[float]
) -> list[float]:
    sums = {depth: [0.0, 0.0] for depth in found}
    for depth, size, value in zip(depths, sizes, values, strict=True):
        sums[depth][0] += size * value
        sums[depth][1] += size
    return [sums[depth][0] / sums[depth][1] for depth in found]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
