"""Barriers with intervals: exact where they are known, like a plain double loop, honest about noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy
import pytest

from merging_core.analysis.paths.heights import barriers_on, curves_of, mean_curve
from merging_core.evaluation.intervals import RESAMPLES
from merging_core.evaluation.report import TaskScore
from tests.analysis.paths.scored import scores_of

GRID = [index / 8 for index in range(9)]


def rows_of(
    scores: dict[float, tuple[TaskScore, ...]], models: int = 2, draws: int = RESAMPLES
) -> list[dict[str, Any]]:
    return barriers_on(mean_curve(curves_of(scores, 0, draws)), models)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def height(losses: list[list[float]], chosen: Sequence[int], shares: list[float]) -> float:
    """The barrier of some examples, by definition; `losses`: by point, by example."""
    curve = [mean([row[i] for i in chosen]) for row in losses]
    return max(value - ((1 - t) * curve[0] + t * curve[-1]) for value, t in zip(curve, shares, strict=True))


def test_the_barrier_of_known_losses_is_exact_and_without_noise_so_is_its_interval() -> None:
    """Each example's loss is 4·t·(1 − t) + t: all resamples say the same."""
    scores = scores_of({t: {"a": [4 * t * (1 - t) + t] * 6, "b": [4 * t * (1 - t) + t] * 9} for t in GRID})
    loss, error = rows_of(scores)
    assert (loss["metric"], loss["n"], loss["at"], loss["ends"]) == ("loss", 15, 0.5, [0.0, 1.0])
    assert loss["barrier"]["value"] == pytest.approx(1.0, abs=1e-6)
    assert loss["barrier"]["interval"] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert loss["held_out"]["value"] == pytest.approx(1.0, abs=1e-6) and loss["bias"] == pytest.approx(0.0, abs=1e-6)
    assert loss["above_mean"]["value"] == pytest.approx(1.0625, abs=1e-6)
    assert loss["above_worse"]["value"] == pytest.approx(0.5625, abs=1e-6)
    assert loss["midpoint_gap"]["value"] == pytest.approx(1.0, abs=1e-6)
    assert (error["metric"], error["ends"], error["barrier"]["value"], error["at"]) == ("error", [0.0, 1.0], 0.75, 0.25)


def test_the_interval_is_that_of_a_plain_loop_over_resampled_examples() -> None:
    generator = random.Random(1)
    n = 40
    losses = [[generator.expovariate(1.0) * (0.2 + 4 * t * (1 - t)) for _ in range(n)] for t in GRID]
    (row, _) = rows_of(scores_of({t: {"a": one} for t, one in zip(GRID, losses, strict=True)}))
    assert row["barrier"]["value"] == pytest.approx(height(losses, range(n), GRID), abs=1e-6)
    halves = [range(0, n, 2), range(1, n, 2)]
    drawn = sorted(
        height(losses, [generator.choice(half) for half in halves for _ in half], GRID) for _ in range(2_000)
    )
    bounds = drawn[50], drawn[1_949]
    assert row["barrier"]["interval"] == pytest.approx(bounds, abs=0.08 * (bounds[1] - bounds[0]))
    assert row["bias"] == pytest.approx(mean(drawn) - row["barrier"]["value"], abs=0.02)


def test_the_held_out_height_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    generator = random.Random(2)
    losses = [[generator.random() for _ in range(12)] for _ in GRID]
    (row, _) = rows_of(scores_of({t: {"a": one} for t, one in zip(GRID, losses, strict=True)}))
    gaps = []
    for half in (range(0, 12, 2), range(1, 12, 2)):
        curve = [mean([numpy.float32(point[i]) for i in half]) for point in losses]
        gaps.append([value - ((1 - t) * curve[0] + t * curve[-1]) for value, t in zip(curve, GRID, strict=True)])
    places = [max(range(9), key=lambda place, own=own: own[place] if 0 < place < 8 else 0.0) for own in gaps]  # type: ignore[misc]
    wanted = (gaps[1][places[0]] * (0 < places[0] < 8) + gaps[0][places[1]] * (0 < places[1] < 8)) / 2
    assert row["held_out"]["value"] == pytest.approx(wanted, abs=1e-6)


def test_noise_alone_has_a_barrier_but_seldom_one_that_is_held_out() -> None:
    """The maximum over noise is above 0 nearly always, and so is every other interval of it; held out it is not."""
    generator = numpy.random.default_rng(3)
    rows = [
        rows_of(scores_of({t: {"a": generator.normal(1.0, 0.5, 50).tolist()} for t in GRID}), draws=200)[0]
        for _ in range(80)
    ]
    plain, held_out = ([row[name]["interval"][0] > 0 for row in rows] for name in ("barrier", "held_out"))
    assert sum(row["barrier"]["value"] > 0 for row in rows) > 70 and sum(plain) > 30 and sum(held_out) <= 10
    values = [row["held_out"]["value"] for row in rows]
    assert abs(mean(values)) < 3 * float(numpy.std(values)) / math.sqrt(len(values))


def test_each_step_between_models_has_its_barrier_and_so_has_the_whole() -> None:
    ts = [index / 4 for index in range(9)]
    values = [0.0, 3.0, 1.0, 2.0, 0.0, 0.0, 0.5, 0.0, 4.0]
    rows = rows_of(scores_of({t: {"a": [value] * 4} for t, value in zip(ts, values, strict=True)}), 3)
    found = {(row["from"], row["to"]): (row["barrier"]["value"], row["at"]) for row in rows if row["metric"] == "loss"}
    assert found == {(0, 1): (3.0, 0.25), (1, 2): (0.0, 1.0), (0, 2): (2.5, 0.25)}


def test_what_lies_outside_the_models_makes_no_barrier() -> None:
    inside = scores_of({t: {"a": [t * (1 - t)] * 4} for t in GRID})
    beyond = scores_of({t: {"a": [50.0] * 4} for t in (-0.5, 1.5)})
    assert rows_of({**beyond, **inside}) == rows_of(inside)


def test_tasks_count_alike_in_the_mean() -> None:
    tasks = {t: {"a": [4 * t * (1 - t)] * 2, "b": [8 * t * (1 - t)] * 50} for t in GRID}
    assert rows_of(scores_of(tasks))[0]["barrier"]["value"] == pytest.approx(1.5, abs=1e-6)


def test_a_text_has_barriers_of_loss_only() -> None:
    scores = scores_of({t: {"a": [t, 1.0, 2.0]} for t in GRID}, metric="perplexity")
    assert [row["metric"] for row in rows_of(scores)] == ["loss"]


def test_a_loss_that_is_not_finite_is_null_everywhere() -> None:
    losses = {t: {"a": [math.inf if t == 0.5 else 1.0, 1.0]} for t in GRID}
    row = rows_of(scores_of(losses))[0]
    assert (row["barrier"], row["bias"], row["held_out"], row["at"]) == (
        {"value": None, "interval": None},
        None,
        None,
        0.5,
    )


def test_one_example_has_no_held_out_height() -> None:
    row = rows_of(scores_of({t: {"a": [t * (1 - t)]} for t in GRID}))[0]
    assert row["held_out"] is None and row["barrier"]["value"] == pytest.approx(0.25)
