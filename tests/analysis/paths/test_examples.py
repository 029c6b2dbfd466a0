"""Which examples make a barrier: their parts add up to it, and the ranking is that of the definition."""

from __future__ import annotations

import math
import random

import pytest

from merging_core.analysis.paths.examples import makers_in, makers_of
from merging_core.evaluation.barriers import barrier_of
from tests.analysis.paths.scored import scores_of

TS = [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_parts_of_all_examples_add_up_to_the_barrier_of_the_mean() -> None:
    generator = random.Random(4)
    sizes = {"a": 7, "b": 30}
    rows = {
        t: {task: [generator.random() + 4 * t * (1 - t) for _ in range(n)] for task, n in sizes.items()} for t in TS
    }
    scores = scores_of(rows)
    means = [sum(score.loss for score in scores[t]) / 2 for t in TS]
    (found,) = makers_in(scores, ("train",), 2)
    wanted = barrier_of(means, TS)
    assert (found.height, found.at) == (pytest.approx(wanted.height, abs=1e-9), wanted.at)
    losses = {(task, i): [rows[t][task][i] for t in TS] for task, n in sizes.items() for i in range(n)}
    place = TS.index(found.at)
    gaps = {key: curve[place] - ((1 - found.at) * curve[0] + found.at * curve[-1]) for key, curve in losses.items()}
    parts = {key: gap / (2 * sizes[key[0]]) for key, gap in gaps.items()}
    ranked = sorted(parts, key=lambda key: -parts[key])
    names = list(sizes)
    assert [(names[which], place) for which, place in zip(found.which, found.places, strict=True)] == ranked
    assert found.gaps.tolist() == pytest.approx([gaps[key] for key in ranked], abs=1e-6)
    assert found.losses[1].tolist() == pytest.approx([losses[key][place] for key in ranked], abs=1e-6)


def test_one_example_in_ten_that_makes_everything_is_said_to() -> None:
    rows = {t: {"a": [10 * t * (1 - t)] + [0.1] * 9} for t in TS}
    (found,) = makers_in(scores_of(rows), ("train",), 2)
    told = found.as_json()
    assert (told["half"], told["above"], told["at"]) == (0.1, 0.1, 0.5)
    assert told["tops"][2] == {"examples": 0.1, "share": pytest.approx(1.0)}
    assert told["curve"][0] == [0.0, 0.0] and told["curve"][-1] == [1.0, pytest.approx(1.0)]
    assert int(found.examples[0]) == 9  # the stand-in counts its examples from the end


def test_examples_below_their_chord_have_negative_parts() -> None:
    rows = {t: {"a": [8 * t * (1 - t), -4 * t * (1 - t) + 2]} for t in TS}
    (found,) = makers_in(scores_of(rows), ("train",), 2)
    assert found.parts.tolist() == pytest.approx([1.0, -0.5]) and found.height == pytest.approx(0.5)
    assert found.as_json()["curve"][1:] == [[0.5, pytest.approx(2.0)], [1.0, pytest.approx(1.0)]]


def test_the_step_with_the_highest_barrier_is_looked_at() -> None:
    rows = {t: {"a": [t * (1 - t) if t <= 1 else 5 * (t - 1) * (2 - t)] * 2} for t in (0.0, 0.5, 1.0, 1.5, 2.0)}
    (found,) = makers_in(scores_of(rows), ("train",), 3)
    assert (found.span, found.at) == ((1, 2), 1.5)


def test_where_nothing_rises_nobody_makes_it() -> None:
    assert makers_in(scores_of({t: {"a": [t, 1.0]} for t in TS}), ("train", "validation"), 2) == ()
    infinite = scores_of({t: {"a": [math.inf if t == 0.5 else 0.0]} for t in TS})
    assert makers_of(infinite, "train", (0, 1), 0.5) is None
