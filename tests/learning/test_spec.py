from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from merging_core.errors import RecipeError
from merging_core.learning import learn_methods, parse_spec

GIVEN: dict[str, Any] = {
    "version": 1,
    "method": {"name": "adamerging"},
    "base": "zoo:tiny/base",
    "models": ["zoo:tiny/digits", "zoo:tiny/greek"],
}


@pytest.mark.parametrize("info", learn_methods(), ids=lambda info: info.name)
def test_what_was_read_reads_back_the_same(info: Any) -> None:
    asked = {"models": [], "tasks": ["tiny/digits"]} if info.makes == "expert" else {}
    spec = parse_spec({**GIVEN, **asked, "method": {"name": info.name}})
    assert parse_spec(spec.as_json()) == spec
    assert (spec.split, spec.steps, spec.batch) == (info.splits[0], info.default_steps, info.batch)
    assert info.as_json()["name"] == info.name
    if info.phases is not None:
        assert sum(phase.steps for phase in info.phases(spec.params, spec.steps)) == spec.steps


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"version": 2}, "version"),
        ({"stepz": 3}, "spec"),
        ({"steps": 0}, "spec.steps"),
        ({"split": "tset"}, "spec.split"),
        ({"method": {"name": "adamergin"}}, "method.name"),
        ({"method": {"name": "adamerging", "params": {"rate": 0}}}, "method.params.rate"),
        ({"method": {"name": "adamerging", "parms": {}}}, "method"),
        ({"models": []}, "models"),
        ({"base": None}, "base"),
        ({"tasks": "digits"}, "tasks"),
        ({"check": {"every": 0}}, "check.every"),
        ({"check": 3}, "check"),
        ({"keep": "best"}, "spec.keep"),
        ({"method": {"name": "atlas"}, "split": "test"}, "spec.split"),
        ({"models": ["zoo:tiny/digits", "zoo:tiny/digits"]}, "models[1].ref"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_spec({**GIVEN, **changes})
    assert where in [problem.where for problem in caught.value.problems]


def test_a_specification_says_by_which_examples_the_result_is_chosen() -> None:
    said = [parse_spec({**GIVEN, "keep": keep}).chosen_by for keep in ("accuracy", "loss", "objective", "last")]
    assert said == ["the preview of validation", "the preview of validation", "", ""]
    assert parse_spec({**GIVEN, "check": {"subset": "full"}}).chosen_by == "validation"


def test_all_problems_come_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_spec({**GIVEN, "steps": 0, "keep": "best", "models": 3})
    assert len(caught.value.problems) == 3


def test_trimmed_vectors_are_a_mask_of_the_recipe() -> None:
    params = {"vectors": "trimmed", "density": 0.3, "elect": False}
    recipe = parse_spec({**GIVEN, "method": {"name": "adamerging", "params": params}}).recipe()
    assert recipe.mask.as_json() == {"kind": "magnitude", "density": 0.3, "scope": "model"}
    assert recipe.lambda_ == 1.0


@pytest.mark.parametrize("info", learn_methods(), ids=lambda info: info.name)
def test_every_method_has_a_source_and_a_place_on_the_page(info: Any) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "learning.md").read_text(encoding="utf-8")
    assert f"| `{info.name}`" in page
    assert info.source.url.startswith("https://arxiv.org/abs/")
    assert info.source.deviation


def test_the_strength_of_an_attack_stands_only_beside_what_is_attacked() -> None:
    given = {"version": 1, "base": "zoo:tiny/base", "tasks": ["tiny/digits"]}
    params = {"against": "l2", "l2": 0.25}
    assert "linf" not in parse_spec({**given, "method": {"name": "train_expert", "params": params}}).params
    mixture = parse_spec({**given, "method": {"name": "train_expert", "params": {"against": "mixture"}}})
    assert (mixture.params["linf"], mixture.params["l2"]) == (0.03, 0.5)
    with pytest.raises(RecipeError, match="linf stands only beside against linf or mixture"):
        parse_spec({**given, "method": {"name": "train_expert", "params": {**params, "linf": 0.1}}})
