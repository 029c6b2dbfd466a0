"""Recipes in which numbers differ from leaf to leaf."""

from __future__ import annotations

from typing import Any

import pytest

from merging_core.errors import RecipeError
from merging_core.methods.registry import methods
from merging_core.methods.varying import Varying
from merging_core.recipes import changes, parse_recipe, recipe_hash, recipe_to_yaml
from merging_core.recipes.differences import differences
from merging_core.recipes.files import read_tree
from tests.recipes.examples import PINS, mapping

CASES = [{"filter": "self_attn", "value": 0.7}, {"filter": "mlp", "value": [0.0, 1.0]}, {"value": 0.5}]


def varied(**more: Any) -> dict[str, Any]:
    models = [
        {"ref": "zoo:tiny/digits", "weight": CASES},
        {"ref": "zoo:tiny/letters", "weight": 0.5, "params": {"density": [0.1, 0.9]}},
    ]
    method = {"name": "ties", "params": {"density": [0.2, 0.4], "scope": "leaf"}}
    return mapping("ties", models=models, method=method, **{"lambda": [1, 0.5], **more})


def places(given: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(given)
    return [problem.where for problem in caught.value.problems]


def identity(given: dict[str, Any]) -> str:
    return recipe_hash(parse_recipe(given), PINS)


def test_it_reads_back_from_json_and_from_yaml_with_the_same_identity() -> None:
    recipe = parse_recipe(varied())
    assert parse_recipe(recipe.as_json()) == recipe
    assert parse_recipe(read_tree(recipe_to_yaml(recipe).encode(), "yaml")) == recipe
    assert recipe.as_json()["models"][0]["weight"] == CASES  # type: ignore[index]
    assert recipe.as_json()["lambda"] == [1.0, 0.5]


def test_golden_hash_never_changes() -> None:
    assert identity(varied()) == "e8724400db1277f0691c1d070bce214708bd9726943fae8e7f89e65c52942269"


def test_a_leaf_that_no_case_takes_gets_the_default_which_is_written_down() -> None:
    recipe = parse_recipe(mapping("ties", **{"lambda": [{"filter": "mlp", "value": 0.5}]}))
    assert recipe.as_json()["lambda"] == [{"filter": "mlp", "value": 0.5}, {"value": 1.0}]


def test_what_gives_the_same_weights_has_one_identity() -> None:
    assert identity(varied(**{"lambda": [0.5, 0.5]})) == identity(varied(**{"lambda": 0.5}))
    assert identity(varied(**{"lambda": [{"filter": "mlp", "value": 1}]})) == identity(varied(**{"lambda": 1}))
    own = varied()
    own["models"][1]["params"] = {"density": [{"filter": "mlp", "value": 0.3}]}
    written_out = varied()
    written_out["models"][1]["params"] = {"density": [{"filter": "mlp", "value": 0.3}, {"value": [0.2, 0.4]}]}
    assert identity(own) == identity(written_out) != identity(varied())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"seed": [0, 1]}, ["seed"]),
        ({"layer_scaling": {"kind": "lines", "beta": [0, 1]}}, ["layer_scaling.beta"]),
        ({"lambda": [0, 1000]}, ["lambda[1]"]),
        ({"method": {"name": "ties", "params": {"density": [0.1, 0.2]}}}, ["method.params.density"]),
        (
            {"method": {"name": "ties", "params": {"combine": ["mean", "sum"], "scope": "leaf"}}},
            ["method.params.combine"],
        ),
        ({"method": {"name": "pcb", "params": {"density": [0.1, 0.2]}}}, ["method.params.density"]),
        ({"models": [{"ref": "zoo:tiny/digits", "weight": [0, 1e-13]}]}, ["models[0].weight"]),
        ({"base": None, "method": {"name": "linear"}, "lambda": [0, 1]}, ["lambda"]),
        (
            {"method": {"name": "uniform_soup"}, "models": [{"ref": "zoo:tiny/digits", "weight": [1, 2]}]},
            ["models[0].weight"],
        ),
        (
            {
                "method": {"name": "karcher"},
                "models": [{"ref": "zoo:tiny/digits", "weight": CASES[:2] + [{"value": -1}]}],
            },
            ["models[0].weight"],
        ),
    ],
)
def test_what_cannot_vary_is_named_with_its_place(changed: dict[str, Any], expected: list[str]) -> None:
    assert places(mapping("ties", **changed)) == expected


def test_a_mask_over_the_whole_model_has_one_number_for_all_leaves() -> None:
    given = mapping(
        "task_arithmetic", mask={"kind": "breadcrumbs", "density": [0.1, 0.2], "gamma": [0, 0.1], "scope": "model"}
    )
    given["models"] = [{"ref": "zoo:tiny/digits", "params": {"density": [{"filter": "mlp", "value": 0.1}]}}]
    with pytest.raises(RecipeError) as caught:
        parse_recipe(given)
    assert [problem.where for problem in caught.value.problems] == [
        "mask.density",
        "mask.gamma",
        "models[0].params.density",
    ]
    assert {problem.fix for problem in caught.value.problems} == {"set scope to leaf"}


def test_every_number_of_a_mask_that_a_method_owns_may_differ_between_experts_and_leaves() -> None:
    from merging_core.masks.registry import mask

    for info in methods():
        if info.owned_mask:
            own = {one.name for one in mask(info.owned_mask).parameters if one.kind == "number"}
            assert own <= {one.name for one in info.per_model() if one.per_leaf}, info.name


def test_differences_are_told_in_words() -> None:
    before = parse_recipe(varied())
    assert differences(before, changes.with_lambda(before, 0.5)) == ("λ (1 … 0.5) → 0.5",)
    after = changes.with_weight(before, 0, 1.0)
    assert differences(after, before) == ("digits 1 → (0.7 in self_attn, 0 … 1 in mlp, else 0.5)",)


def test_another_method_keeps_what_it_can_take() -> None:
    linear = changes.with_method(parse_recipe(varied()), "karcher")
    assert isinstance(linear.models[0].weight, Varying)
    assert linear.lambda_ == 1.0
    assert changes.with_method(parse_recipe(varied()), "uniform_soup").models[0].weight == 1.0
    # TIES looks at the whole model by default: there an expert's density is one number.
    assert changes.with_method(parse_recipe(varied()), "ties").models[1].params == {}


def test_negative_weights_that_vary_become_zero_beside_a_method_without_them() -> None:
    models = [{"ref": "zoo:tiny/digits", "weight": [-1, 1]}, {"ref": "zoo:tiny/letters"}]
    recipe = changes.with_method(parse_recipe(mapping("task_arithmetic", models=models)), "karcher")
    assert recipe.as_json()["models"][0]["weight"] == [0.0, 1.0]  # type: ignore[index]
