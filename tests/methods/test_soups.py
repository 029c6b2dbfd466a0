"""Soups and WiSE-FT are names for combinations that exist."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merging_core.errors import RecipeError
from merging_core.methods.contract import CombineContext
from merging_core.methods.linear import linear
from merging_core.methods.registry import method
from merging_core.methods.soups import REWARDED_SOUP, UNIFORM_SOUP, WISE_FT
from merging_core.methods.task_arithmetic import task_arithmetic
from merging_core.recipes.parse import parse_recipe


def recipe(name: str, *weights: float, base: str | None = "zoo:base", **more: object) -> dict[str, object]:
    models = [{"ref": f"zoo:{place}", "weight": weight} for place, weight in enumerate(weights)]
    return {"version": 1, "base": base, "models": models, "method": {"name": name}, **more}


def test_golden_uniform_soup() -> None:
    assert method("uniform_soup") is UNIFORM_SOUP
    vectors = torch.tensor([[1.0, 2.0], [4.0, 8.0], [1.0, 2.0]])
    assert UNIFORM_SOUP.combine(vectors, torch.ones(3), CombineContext()).tolist() == [2.0, 4.0]


def test_golden_rewarded_soup() -> None:
    # Preferences 1 and 3 are 1/4 and 3/4.
    assert method("rewarded_soup") is REWARDED_SOUP
    vectors = torch.tensor([[4.0, 0.0], [0.0, 8.0]])
    assert REWARDED_SOUP.combine(vectors, torch.tensor([1.0, 3.0]), CombineContext()).tolist() == [1.0, 6.0]


def test_golden_wise_ft() -> None:
    # θ₀ = 10, θ₁ = 14, α = 0.25: 0.75·10 + 0.25·14 = 11 = θ₀ + 0.25·τ.
    assert method("wise_ft") is WISE_FT
    tau = WISE_FT.combine(torch.tensor([[4.0]]), torch.ones(1), CombineContext())
    assert 10.0 + 0.25 * tau.item() == 11.0


def test_there_is_one_formula_for_each_combination() -> None:
    assert UNIFORM_SOUP.combine is REWARDED_SOUP.combine is linear
    assert WISE_FT.combine is task_arithmetic


@pytest.mark.parametrize("seed", range(3))
def test_a_rewarded_soup_agrees_with_float64(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, weights = rng.normal(size=(4, 200)).astype(np.float32), rng.uniform(0, 2, 4).astype(np.float32)
    expected = (weights.astype(np.float64) / weights.sum(dtype=np.float64)) @ vectors.astype(np.float64)
    found = REWARDED_SOUP.combine(torch.from_numpy(vectors), torch.from_numpy(weights), CombineContext())
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-6)


def test_half_way_is_the_default_of_wise_ft() -> None:
    assert parse_recipe(recipe("wise_ft", 1.0)).lambda_ == 0.5


@pytest.mark.parametrize(
    ("given", "must"),
    [
        (recipe("uniform_soup", 1.0, 0.5), "Uniform soup has no weights"),
        (recipe("wise_ft", 0.5), "WiSE-FT has no weights"),
        (recipe("slerp", 1.0, 2.0), "SLERP has no weights"),
        (recipe("rewarded_soup", 1.0, -0.5), "the weights of Rewarded soup are 0 or more"),
        (recipe("rewarded_soup", 0.0, 0.0), "the weights of an average do not add up to zero"),
        (recipe("wise_ft", 1.0, 1.0), "WiSE-FT takes exactly 1 model"),
        (recipe("slerp", 1.0), "SLERP takes exactly 2 models"),
        (recipe("model_stock", 1.0), "Model Stock takes at least 2 models"),
        (recipe("wise_ft", 1.0, base=None), "WiSE-FT needs the base"),
        (recipe("slerp", 1.0, 1.0, mask={"kind": "random"}), "SLERP has no task vectors to mask"),
    ],
)
def test_what_does_not_go_together_is_said(given: dict[str, object], must: str) -> None:
    with pytest.raises(RecipeError, match=must):
        parse_recipe(given)


def test_what_goes_together_is_taken() -> None:
    assert parse_recipe(recipe("rewarded_soup", 0.0, 2.0, base=None)).models[0].weight == 0.0
    assert parse_recipe(recipe("wise_ft", 1.0, layer_scaling={"kind": "lines_gamma", "gamma": 0.2})).lambda_ == 0.5
    assert parse_recipe(recipe("model_stock", 1.0, 0.5, mask={"kind": "random", "density": 0.3})).mask.kind == "random"
