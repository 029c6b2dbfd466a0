"""The two figures of chance: one of three classes on the simplex, and a coin on [0, 1], drawn and relaxed.

Every sample comes from `merging_core.learning`, where masks are learned from the same functions. Chance is a function
of the seed: the same seed draws the same noise whatever the logits and the temperature, so that points glide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from app.charts import chances as chances_chart
from app.charts import coin as coin_chart
from app.charts import simplex as simplex_chart
from app.notices import Answer, answers
from app.studio.messages import is_text, message_of
from merging_core.evaluation.intervals import mean_interval, wilson
from merging_core.learning.categorical import concrete, gumbel_max
from merging_core.learning.relaxation import Kind, concrete_mask, relaxed, relaxed_density, relaxed_share, uniform

__all__ = ["Chance", "coin_numbers", "simplex_numbers"]

CLASSES = ("A", "B", "C")
MOST = 2_000
"""Samples of one answer."""
_BINS = 20
_CURVE = 200
_CORNER = 0.95
"""A point whose largest coordinate is above lies at a corner."""
_WAYS: tuple[Kind, ...] = ("soft", "straight", "coin", "hard", "mean")
_LARGEST_LOGIT = 10.0
_TEMPERATURES = (0.01, 10.0)
_LARGEST_SEQUENCE = 2**53


def simplex_numbers(logits: list[float], temperature: float, n: int, seed: int) -> dict[str, Any]:
    """Draw one of three classes n times by Gumbel-max, and the same noise relaxed: what the figure shows.

    >>> numbers = simplex_numbers([1.0, 0.0, 0.0], 0.5, 100, 0)
    >>> len(numbers["points"]), sum(one["count"] for one in numbers["classes"])
    (100, 100)
    """
    values = torch.tensor(logits, dtype=torch.float64)
    noise = uniform(seed, 0, "simplex", n * len(CLASSES)).view(n, len(CLASSES))
    drawn = gumbel_max(values, noise)
    points = concrete(values, noise, temperature)
    counts = torch.bincount(drawn, minlength=len(CLASSES)).tolist()
    corners = int((points.max(dim=1).values > _CORNER).sum())
    chances = values.softmax(dim=0).tolist()
    return {
        "logits": logits,
        "temperature": temperature,
        "seed": seed,
        "n": n,
        "classes": [
            {
                "name": name,
                "probability": chance,
                "count": count,
                "share": count / n,
                "interval": list(wilson(count, n)),
            }
            for name, chance, count in zip(CLASSES, chances, counts, strict=True)
        ],
        "points": [[round(part, 4) for part in point] for point in points.tolist()],
        "drawn": drawn.tolist(),
        "corners": {"count": corners, **_share(corners, n)},
    }


def coin_numbers(logit: float, temperature: float, n: int, seed: int) -> dict[str, Any]:
    """Draw a relaxed coin n times, with its density, and what becomes of it in each way of hardening.

    >>> [way["name"] for way in coin_numbers(0.5, 0.5, 100, 0)["ways"]]
    ['soft', 'straight', 'coin', 'hard', 'mean']
    """
    noise = uniform(seed, 0, "coin", n)
    logits = torch.full((n,), logit, dtype=torch.float64)
    sample = relaxed(logits, noise, temperature)
    edges = torch.linspace(0.0, 1.0, _BINS + 1, dtype=torch.float64)
    expected = relaxed_share(logit, edges, temperature).diff().tolist()
    places = (sample * _BINS).long().clamp(max=_BINS - 1)
    counts = torch.bincount(places, minlength=_BINS).tolist()
    at = (torch.arange(_CURVE, dtype=torch.float64) + 0.5) / _CURVE
    chance = 1.0 / (1.0 + math.exp(-logit))
    return {
        "logit": logit,
        "temperature": temperature,
        "seed": seed,
        "n": n,
        "probability": chance,
        "gradient": chance * (1.0 - chance),
        "bins": [
            {
                "low": low,
                "high": low + 1 / _BINS,
                "count": count,
                "density": count / n * _BINS,
                "expected": share * _BINS,
            }
            for low, count, share in zip(edges.tolist(), counts, expected, strict=False)
        ],
        "curve": {"at": at.tolist(), "density": relaxed_density(logit, at, temperature).tolist()},
        "ways": [_way(kind, logits, noise, temperature) for kind in _WAYS],
    }


def _share(count: int, n: int) -> dict[str, Any]:
    return {"share": count / n, "interval": list(wilson(count, n))}


def _way(kind: Kind, logits: torch.Tensor, noise: torch.Tensor, temperature: float) -> dict[str, Any]:
    """Return the mean of n masks of one kind and of their derivatives in the logit, with intervals where chance is."""
    moved = logits.clone().requires_grad_()
    mask = concrete_mask(moved, noise, temperature, kind, rescale=False)
    slopes = torch.autograd.grad(mask.sum(), moved)[0] if mask.requires_grad else torch.zeros_like(logits)
    values = mask.detach()
    interval = None
    if kind == "soft":
        interval = mean_interval(values.numpy())
    elif kind in ("straight", "coin"):
        interval = wilson(int(values.sum()), len(values))
    steep = mean_interval(slopes.numpy()) if kind in ("soft", "straight") else None
    return {
        "name": kind,
        "mean": float(values.mean()),
        "interval": list(interval) if interval else None,
        "gradient": float(slopes.mean()),
        "gradient_interval": list(steep) if steep else None,
    }


def _number(value: object, low: float, high: float) -> bool:
    """Say whether a value is a number within bounds; what is not finite is in none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_logit(value: object) -> bool:
    return _number(value, -_LARGEST_LOGIT, _LARGEST_LOGIT)


_MESSAGE = {
    "seq": (True, "seq is a whole number from 0 to 2⁵³", lambda value: _whole(value, 0, _LARGEST_SEQUENCE)),
    "page": (False, "page is text of at most 64 characters", is_text(64)),
    "temperature": (True, "temperature is a number from 0.01 to 10", lambda value: _number(value, *_TEMPERATURES)),
    "n": (True, f"n is a whole number from 2 to {MOST}", lambda value: _whole(value, 2, MOST)),
    "seed": (True, "seed is a whole number from 0 to 2³¹", lambda value: _whole(value, 0, 2**31)),
}
_LOGITS = (
    True,
    "logits are three numbers from −10 to 10",
    lambda value: isinstance(value, list) and len(value) == len(CLASSES) and all(map(_is_logit, value)),
)
_LOGIT = (True, "logit is a number from −10 to 10", _is_logit)


class Chance:
    """Both figures as functions of the page. Each answer is a few milliseconds of arithmetic, and bounded."""

    def functions(self) -> dict[str, Callable[[str, object], Answer]]:
        """Return what the page may call, by name."""
        return {"simplex_samples": self.simplex_samples, "coin_samples": self.coin_samples}

    @answers
    def simplex_samples(self, visitor: str, message: object) -> Answer:
        """Draw one of three classes, and the same draws relaxed."""
        asked = message_of(message, {**_MESSAGE, "logits": _LOGITS})
        logits = [float(value) for value in asked["logits"]]
        numbers = simplex_numbers(logits, float(asked["temperature"]), asked["n"], asked["seed"])
        figures = {"simplex": simplex_chart.figure_of(numbers), "chances": chances_chart.figure_of(numbers)}
        return {"seq": asked["seq"], "numbers": numbers, "figures": figures}

    @answers
    def coin_samples(self, visitor: str, message: object) -> Answer:
        """Draw a relaxed coin, and harden it."""
        asked = message_of(message, {**_MESSAGE, "logit": _LOGIT})
        numbers = coin_numbers(float(asked["logit"]), float(asked["temperature"]), asked["n"], asked["seed"])
        return {"seq": asked["seq"], "numbers": numbers, "figures": {"coin": coin_chart.figure_of(numbers)}}
