"""Averages over a trajectory of checkpoints: SWA, SWAD's window, EMA, LAWA and hierarchical averaging."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method
from merging_core.methods.trajectories import decaying, last_models, window
from merging_core.recipes.parse import parse_recipe

NAMES = ("swa", "swad", "ema", "lawa", "hwa")


def merged(name: str, checkpoints: list[float], **params: Any) -> float:
    info = method(name)
    vectors = torch.tensor(checkpoints).view(-1, 1)
    return float(info.combine(vectors, torch.ones(len(vectors)), CombineContext(info.defaults().changed(**params))))


def recipe(name: str, count: int, **params: Any) -> None:
    models = [{"ref": f"zoo:run/{at}"} for at in range(count)]
    parse_recipe({"version": 1, "models": models, "method": {"name": name, "params": params}})


def test_golden_five_checkpoints() -> None:
    run = [16.0, 8.0, 4.0, 2.0, 1.0]
    assert merged("swa", run, start=1, every=2) == (8.0 + 2.0) / 2
    assert merged("swad", run, start=1, end=1) == pytest.approx((8.0 + 4.0 + 2.0) / 3)
    assert merged("lawa", run, last=2) == 1.5
    # From 16: (16 + 8)/2 = 12, (12 + 4)/2 = 8, (8 + 2)/2 = 5, (5 + 1)/2 = 3.
    assert merged("ema", run, decay=0.5) == 3.0
    # From zero: 8, 8, 6, 4, 2.5; corrected by 1 − 0.5⁵ = 31/32.
    assert merged("ema", run, decay=0.5, start_at="zero") == pytest.approx(2.5 * 32 / 31)
    # Two runs: steps (16, 8), (4, 2), (1, 3); the last two steps: means 3 and 2.
    assert merged("hwa", [16.0, 8.0, 4.0, 2.0, 1.0, 3.0], parallel=2, last=2) == 2.5


@given(
    st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=9), st.floats(0, 1), st.sampled_from(["first", "zero"])
)
def test_the_moving_average_is_the_recursion_in_float64(run: list[float], decay: float, start: str) -> None:
    if start == "zero" and decay > 0.999:
        return
    average = run[0] if start == "first" else 0.0
    for value in run[1:] if start == "first" else run:
        average = decay * average + (1 - decay) * value
    expected = average if start == "first" else average / (1 - decay ** len(run))
    assert math.isclose(merged("ema", run, decay=decay, start_at=start), expected, rel_tol=1e-5, abs_tol=1e-5)


@pytest.mark.parametrize("start_at", ["first", "zero"])
def test_a_decay_of_one_or_zero_is_no_division_by_zero(start_at: str) -> None:
    assert merged("ema", [1.0, 2.0, 6.0], decay=0.0, start_at=start_at) == 6.0
    assert merged("ema", [1.0, 2.0, 6.0], decay=1.0, start_at=start_at) == (1.0 if start_at == "first" else 3.0)
    assert merged("ema", [5.0], decay=1.0, start_at=start_at) == 5.0


def test_with_fewer_checkpoints_than_asked_for_all_are_averaged() -> None:
    assert merged("lawa", [1.0, 3.0], last=100) == merged("hwa", [1.0, 3.0], last=100) == 2.0


@given(st.integers(1, 12), st.integers(0, 12), st.integers(1, 5), st.integers(0, 12))
def test_shares_are_those_of_python_slices(count: int, start: int, every: int, end: int) -> None:
    chosen = range(count)[start : max(0, count - end) : every]
    found = window(count, Parameters(start=start, every=every, end=end))
    assert found == tuple(float(at in chosen) for at in range(count))
    assert last_models(count, Parameters(last=every)) == tuple(
        float(at in range(count)[-every:]) for at in range(count)
    )
    assert sum(decaying(count, Parameters(decay=0.7, start_at="first"))) == pytest.approx(1.0)


@given(st.sampled_from(["swa", "swad", "lawa", "hwa"]), st.integers(2, 9), st.integers(0, 2**31))
def test_windows_are_means_in_float64(name: str, count: int, seed: int) -> None:
    run = np.random.default_rng(seed).normal(size=count).astype(np.float32)
    params = {"swa": {"start": 1, "every": 2}, "swad": {"start": 1}, "lawa": {"last": 3}, "hwa": {"last": 2}}[name]
    chosen = {"swa": run[1::2], "swad": run[1:], "lawa": run[-3:], "hwa": run[-2:]}[name]
    assert math.isclose(merged(name, run.tolist(), **params), chosen.astype(np.float64).mean(), abs_tol=1e-6)


def test_an_empty_window_and_uneven_runs_are_said_before_anything_is_read() -> None:
    with pytest.raises(RecipeError, match="some of 3 checkpoints is averaged"):
        recipe("swa", 3, start=3)
    with pytest.raises(RecipeError, match="some of 4 checkpoints is averaged"):
        recipe("swad", 4, start=2, end=2)
    with pytest.raises(RecipeError, match="each step of the trajectory has 2 models"):
        recipe("hwa", 3, parallel=2)
    recipe("hwa", 4, parallel=2)


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_has_no_weights_and_needs_no_base(name: str) -> None:
    info = method(name)
    assert (info.weights, info.needs_base, info.symmetric, info.group) == ("none", False, False, "averages")
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32))
    params = info.defaults().changed(**{"last": 1} if "last" in info.defaults() else {"start": 2})
    context = CombineContext(info.defaults() if name == "ema" else params)
    weights = torch.ones(4)
    assert not torch.equal(info.combine(vectors, weights, context), info.combine(vectors.flip(0), weights, context))
