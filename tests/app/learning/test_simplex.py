"""The figures of chance: what the server draws, its limits, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
import pytest

from app.learning.simplex import Chance, coin_numbers, simplex_numbers
from tests.app.charts.test_charts import PALETTE, dressed
from tests.app.wire import sentences

LOGITS = [1.0, 0.0, -0.5]


def asked(**changes: Any) -> dict[str, Any]:
    return {"seq": 3, "page": "p", "temperature": 0.5, "n": 500, "seed": 0, **changes}


def test_classes_are_drawn_as_often_as_the_softmax_says_and_intervals_hold_it() -> None:
    numbers = simplex_numbers(LOGITS, 0.5, 2000, 0)
    total = sum(math.exp(value) for value in LOGITS)
    for one, logit in zip(numbers["classes"], LOGITS, strict=True):
        assert one["probability"] == pytest.approx(math.exp(logit) / total)
        assert one["interval"][0] < one["probability"] < one["interval"][1]
        assert one["share"] == one["count"] / 2000


def test_the_temperature_moves_points_and_never_the_class_that_was_drawn() -> None:
    cold, warm, hot = (simplex_numbers(LOGITS, temperature, 300, 7) for temperature in (0.01, 0.5, 10.0))
    assert cold["drawn"] == warm["drawn"] == hot["drawn"]
    assert cold["corners"]["share"] > 0.95
    assert hot["corners"]["count"] == 0
    for point, drawn in zip(warm["points"], warm["drawn"], strict=True):
        assert sum(point) == pytest.approx(1.0, abs=2e-4)
        assert point[drawn] == max(point)


def test_new_noise_comes_from_another_seed_alone() -> None:
    assert simplex_numbers(LOGITS, 0.5, 50, 1) == simplex_numbers(LOGITS, 0.5, 50, 1)
    assert simplex_numbers(LOGITS, 0.5, 50, 1)["points"] != simplex_numbers(LOGITS, 0.5, 50, 2)["points"]


@pytest.mark.parametrize("temperature", [0.01, 0.5, 10.0])
def test_a_coin_hardens_to_one_as_often_as_its_logit_says_whatever_the_temperature(temperature: float) -> None:
    numbers = coin_numbers(0.4, temperature, 2000, 0)
    ways = {way["name"]: way for way in numbers["ways"]}
    chance = 1 / (1 + math.exp(-0.4))
    assert (numbers["probability"], ways["mean"]["mean"]) == (pytest.approx(chance), pytest.approx(chance))
    for name in ("straight", "coin"):
        assert ways[name]["interval"][0] < ways[name]["mean"] < ways[name]["interval"][1]
        assert ways[name]["mean"] == pytest.approx(chance, abs=0.03)
    assert ways["hard"]["mean"] == 1.0
    assert sum(one["count"] for one in numbers["bins"][10:]) == pytest.approx(2000 * ways["straight"]["mean"])
    assert sum(one["expected"] for one in numbers["bins"]) / 20 == pytest.approx(1.0)


def test_only_what_is_relaxed_has_a_gradient_and_straight_through_has_the_same() -> None:
    numbers = coin_numbers(-0.8, 0.7, 1000, 0)
    slopes = {way["name"]: way["gradient"] for way in numbers["ways"]}
    assert slopes["coin"] == slopes["hard"] == 0.0
    assert slopes["soft"] == slopes["straight"] > 0.0
    assert slopes["mean"] == pytest.approx(numbers["gradient"])


def test_the_limits_of_the_relaxed_coin_are_the_coin_and_one_half() -> None:
    cold, hot = (coin_numbers(0.4, temperature, 1000, 0)["bins"] for temperature in (0.01, 10.0))
    assert cold[0]["count"] + cold[-1]["count"] > 950
    assert sum(one["count"] for one in hot[6:14]) > 950


def test_the_page_gets_numbers_and_figures_that_plotly_takes() -> None:
    chance = Chance()
    three = chance.functions()["simplex_samples"]("ann", asked(logits=[9, -9, 0.5]))
    coin = chance.functions()["coin_samples"]("ann", asked(logit=-10, temperature=0.01, n=2))
    assert (three["ok"], three["seq"], coin["ok"]) == (True, 3, True)
    for figure in (*three["figures"].values(), *coin["figures"].values()):
        drawn = dressed(figure, PALETTE["dark"])
        go.Figure(data=drawn["data"], layout=drawn["layout"])
    triangle = three["figures"]["simplex"]["data"]
    assert sum(len(trace["x"]) for trace in triangle if trace["name"].endswith("was drawn")) == 500


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "1", True, None, 11, [1]])
def test_a_number_that_is_none_or_out_of_bounds_is_said(bad: object) -> None:
    chance = Chance()
    assert "logits are three numbers" in sentences(chance.simplex_samples("ann", asked(logits=[0, bad, 0])))[0]
    told = " ".join(sentences(chance.coin_samples("ann", asked(logit=bad, temperature=0, n=2001, seed=-1, more=1))))
    for word in ("logit is a number", "temperature is", "n is a whole", "seed is a whole", "known by name"):
        assert word in told
    assert len(sentences(chance.simplex_samples("ann", "text"))) == 1
