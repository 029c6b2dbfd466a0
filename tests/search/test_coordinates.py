"""The short search among a method's settings."""

from __future__ import annotations

import pytest

from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import methods
from merging_core.recipes import Recipe, parse_recipe
from merging_core.search.coordinates import BUDGET, search, settings_changed

BASE = {"version": 1, "base": "zoo:tiny/base", "models": [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}]}


def recipe(name: str, base: str | None = "zoo:tiny/base") -> Recipe:
    return parse_recipe({**BASE, "base": base, "method": {"name": name}})


def test_the_best_setting_of_each_coordinate_is_found() -> None:
    def score(candidate: Recipe) -> float:
        return -abs(candidate.lambda_ - 1.5) - abs(candidate.method.params.number("density") - 0.35)

    found = search(recipe("ties"), score)
    assert found is not None
    assert (found.recipe.lambda_, found.recipe.method.params["density"]) == (1.5, 0.35)
    assert found.score == 0.0
    assert settings_changed(recipe("ties"), found.recipe) == {"lambda": 1.5, "density": 0.35}


def test_lambda_is_looked_at_again_after_the_parameters() -> None:
    def score(candidate: Recipe) -> float:
        density = candidate.method.params.number("density")
        return density if candidate.lambda_ == 1.0 else density + (2.0 if density == 0.5 else -1.0)

    found = search(recipe("ties"), score)
    assert found is not None
    assert settings_changed(recipe("ties"), found.recipe) == {"lambda": 0.5, "density": 0.5}


def test_of_settings_that_do_alike_the_earliest_is_kept() -> None:
    found = search(recipe("ties"), lambda candidate: 0.5)
    assert found is not None
    assert found.recipe == recipe("ties")
    assert settings_changed(recipe("ties"), found.recipe) == {}


@pytest.mark.parametrize("info", [info for info in methods() if info.models[0] <= 2], ids=lambda info: info.name)
def test_no_setting_is_tried_twice_and_no_more_than_the_budget(info: MethodInfo) -> None:
    count = min(2, info.models[1] or 2)
    start = parse_recipe({**BASE, "models": BASE["models"][:count], "method": {"name": info.name}})
    tried: list[Recipe] = []

    def score(candidate: Recipe) -> float:
        tried.append(candidate)
        return float(len(tried))

    found = search(start, score)
    assert found is not None
    assert tried[0] == start
    assert len(tried) == len(set(tried)) == found.tried <= BUDGET


def test_a_setting_that_cannot_be_merged_counts_as_tried_and_is_passed_over() -> None:
    found = search(recipe("task_arithmetic"), lambda candidate: None if candidate.lambda_ > 0.3 else candidate.lambda_)
    assert found is not None
    assert (found.recipe.lambda_, found.tried) == (0.3, 5)
    assert search(recipe("task_arithmetic"), lambda candidate: None) is None


def test_without_a_base_there_is_no_lambda_to_choose() -> None:
    found = search(recipe("slerp", None), lambda candidate: candidate.method.params.number("t"))
    assert found is not None
    assert (found.recipe.lambda_, found.recipe.method.params["t"]) == (1.0, 0.7)


@pytest.mark.parametrize("info", methods(), ids=lambda info: info.name)
def test_what_a_method_says_is_searched_are_values_that_it_takes(info: MethodInfo) -> None:
    known = {parameter.name: parameter for parameter in info.parameters}
    assert len(info.searched) <= 2
    for name, values in info.searched:
        assert [known[name].problem(value, name) for value in values] == [None] * len(values)
        assert len(set(values)) == len(values) > 1
