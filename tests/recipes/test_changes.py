"""The next recipe, and what the engines are told of it."""

from __future__ import annotations

import pytest

from merging_core.errors import RecipeError
from merging_core.masks.info import MaskSpec
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method, methods
from merging_core.recipes import parse_recipe, stages
from merging_core.recipes.changes import (
    with_dtype,
    with_lambda,
    with_layer_scaling,
    with_mask,
    with_method,
    with_method_params,
    with_model_params,
    with_models,
    with_seed,
    with_weight,
)
from tests.recipes.examples import EXPERTS, mapping

RECIPE = parse_recipe(mapping("task_arithmetic", mask={"kind": "magnitude", "density": 0.1}))


def test_each_change_changes_its_number_and_nothing_else() -> None:
    assert with_weight(RECIPE, 1, -0.5).models[1].weight == -0.5
    assert with_weight(RECIPE, 1, -0.5).models[0] == RECIPE.models[0]
    assert with_lambda(RECIPE, 0.7).lambda_ == 0.7
    assert with_seed(RECIPE, 5).seed == 5
    assert with_dtype(RECIPE, "bfloat16").dtype == "bfloat16"
    assert with_mask(RECIPE, "magnitude", density=0.4).mask == MaskSpec(
        "magnitude", Parameters(density=0.4, scope="leaf")
    )
    assert with_model_params(RECIPE, 0, density=0.9).models[0].params == Parameters(density=0.9)
    assert with_layer_scaling(RECIPE, "lines", beta=2.0).layer_scaling.params["alpha"] == 0.5
    assert with_layer_scaling(RECIPE, "lines", alpha_rule="sum").layer_scaling.needs_alpha
    assert parse_recipe(RECIPE.as_json()) == RECIPE


def test_a_change_that_is_wrong_is_refused_and_the_recipe_stays() -> None:
    before = RECIPE.as_json()
    for change in (
        lambda: with_weight(RECIPE, 0, float("nan")),
        lambda: with_lambda(RECIPE, 1e9),
        lambda: with_method(RECIPE, "tys"),
        lambda: with_method_params(RECIPE, density=0.5),
        lambda: with_mask(RECIPE, "magnitude", density=0.0),
        lambda: with_models(RECIPE, []),
        lambda: with_models(RECIPE, ["zoo:a", "zoo:a"]),
        lambda: with_layer_scaling(RECIPE, "lines_gamma"),
        lambda: with_dtype(RECIPE, "int8"),
    ):
        with pytest.raises(RecipeError):
            change()
    assert RECIPE.as_json() == before


@pytest.mark.parametrize("first", [info.name for info in methods()])
@pytest.mark.parametrize("second", methods(), ids=lambda info: info.name)
def test_any_method_follows_any_other(first: str, second: MethodInfo) -> None:
    start = with_model_params(RECIPE, 0, density=0.3)
    start = with_layer_scaling(start, "curve", points=(0.5, 1.0), applies_to="each")
    one_then_two = [entry["ref"] for entry in EXPERTS]
    started = with_method(start, first, one_then_two[: method(first).models[1]])
    changed = with_method(started, second.name, one_then_two[: second.models[1]])
    assert changed.lambda_ == second.default_lambda
    assert changed.method.params == second.defaults()
    assert len(changed.models) == min(2, second.models[1] or 2)


@pytest.mark.parametrize(
    ("name", "weights", "taken"),
    [
        ("linear", (-0.5, 0.25), (-0.5, 0.25)),
        ("uniform_soup", (-0.5, 0.25), (1.0, 1.0)),
        ("rewarded_soup", (-0.5, 0.25), (0.0, 0.25)),
        ("rewarded_soup", (-0.5, -1.0), (1.0, 1.0)),
        ("model_stock", (-0.5, 0.25), (1.0, 1.0)),
        ("model_stock", (0.5, 0.25), (0.5, 0.25)),
        ("linear", (1.0, -1.0), (1.0, 1.0)),
    ],
)
def test_weights_that_a_method_does_not_take_become_those_that_it_does(
    name: str, weights: tuple[float, float], taken: tuple[float, float]
) -> None:
    start = with_weight(with_weight(RECIPE, 0, weights[0]), 1, weights[1])
    assert tuple(entry.weight for entry in with_method(start, name).models) == taken


def test_a_change_of_method_brings_the_models_that_it_merges() -> None:
    refs = [entry["ref"] for entry in EXPERTS]
    one = with_method(with_weight(RECIPE, 0, 0.5), "wise_ft", refs[:1])
    assert [(entry.ref, entry.weight) for entry in one.models] == [(refs[0], 1.0)]
    with pytest.raises(RecipeError, match="WiSE-FT takes exactly 1 model"):
        with_method(RECIPE, "wise_ft")


def test_a_method_with_its_own_mask_replaces_the_free_one_and_keeps_densities_of_models() -> None:
    start = with_model_params(RECIPE, 0, density=0.3)
    assert with_method(start, "ties").mask == MaskSpec()
    assert with_method(start, "ties").models[0].params == Parameters(density=0.3)
    assert with_method(start, "linear").models[0].params == Parameters()
    assert with_mask(start, "none").models[0].params == Parameters()


def test_models_that_stay_keep_their_weight() -> None:
    changed = with_models(with_weight(RECIPE, 0, 0.25), ["zoo:tiny/shapes", "zoo:tiny/digits"])
    assert [(entry.ref, entry.weight) for entry in changed.models] == [
        ("zoo:tiny/shapes", 1.0),
        ("zoo:tiny/digits", 0.25),
    ]


def test_a_scaling_for_one_model_gives_way_when_a_second_comes() -> None:
    one = parse_recipe(mapping(models=EXPERTS[:1], layer_scaling={"kind": "lines_gamma"}))
    assert with_models(one, ["zoo:tiny/digits", "zoo:tiny/letters"]).layer_scaling.kind == "constant"
    assert with_models(one, ["zoo:tiny/letters"]).layer_scaling.kind == "lines_gamma"


def test_stages_hold_the_effective_mask_of_each_model() -> None:
    owned = with_model_params(with_method(RECIPE, "dare_ties"), 1, density=0.75)
    assert stages(owned).masks == (
        MaskSpec("dare", Parameters(density=0.5, rescale="probability")),
        MaskSpec("dare", Parameters(density=0.75, rescale="probability")),
    )
    assert stages(owned).stochastic
    free = stages(with_model_params(RECIPE, 0, density=0.75))
    assert free.masks == (
        MaskSpec("magnitude", Parameters(density=0.75, scope="leaf")),
        MaskSpec("magnitude", Parameters(density=0.1, scope="leaf")),
    )
    assert not free.stochastic
    assert stages(with_mask(RECIPE, "dare")).stochastic
    assert stages(with_method(RECIPE, "linear")).masks == (MaskSpec(), MaskSpec())


def test_stages_hold_the_numbers_of_the_recipe() -> None:
    found = stages(with_lambda(with_weight(RECIPE, 0, 2.0), 0.5))
    assert (found.weights, found.lambda_, found.seed) == ((2.0, 1.0), 0.5, 0)
    assert found.method.name == "task_arithmetic"
    assert found.layer_scaling == RECIPE.layer_scaling
