"""The difference of two recipes in words: every change is said once, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from merging_core.methods.registry import methods
from merging_core.recipes import Recipe, parse_recipe
from merging_core.recipes.differences import differences, name_of

NAMES = ("digits", "letters", "greek")


def recipe(method: str = "task_arithmetic", names: tuple[str, ...] = NAMES, **more: Any) -> Recipe:
    params = more.pop("params", {})
    given = {
        "version": 1,
        "base": "zoo:tiny/base",
        "models": [{"ref": f"zoo:tiny/{name}"} for name in names],
        "method": {"name": method, "params": params},
    }
    return parse_recipe({**given, **more})


def test_a_recipe_does_not_differ_from_itself() -> None:
    for info in methods():
        most = info.models[1]
        one = recipe(info.name, NAMES[: max(info.models[0], min(most or 3, 3))])
        assert differences(one, one) == ()


def test_the_golden_example_reads_as_people_say_it() -> None:
    a = recipe("task_arithmetic", mask={"kind": "magnitude", "density": 0.1}, **{"lambda": 0.8})
    b = recipe("ties", ("digits", "letters"), params={"density": 0.3}, **{"lambda": 0.5})
    assert differences(a, b) == (
        "greek left out",
        "TIES instead of task arithmetic",
        "density 0.1 → 0.3",
        "largest within leaf → model",
        "λ 0.8 → 0.5",
    )


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ({}, {"lambda": 0.5}, ("λ 0.3 → 0.5",)),
        ({"lambda": 0.5}, {"lambda": -0.5}, ("λ 0.5 → −0.5",)),
        ({"names": ("digits",)}, {"names": ("digits", "greek")}, ("greek added",)),
        ({}, {"names": ("letters", "digits", "greek")}, ("the models in another order",)),
        ({}, {"dtype": "bfloat16"}, ("stored as bfloat16 instead of float32",)),
        ({"method": "dare_ties", "seed": 1}, {"method": "dare_ties", "seed": 2}, ("seed 1 → 2",)),
        ({"seed": 1}, {"seed": 2}, ()),
        (
            {},
            {"layer_scaling": {"kind": "lines", "alpha": 0.5, "beta": 1.0}},
            ("LiNeS instead of constant (α 0.5, β 1)",),
        ),
        (
            {"layer_scaling": {"kind": "lines", "alpha": 0.5, "beta": 1.0}},
            {"layer_scaling": {"kind": "lines", "alpha": 0.5, "beta": 2.0}},
            ("β 1 → 2",),
        ),
        ({"base": "zoo:tiny/base@0123456789abcdef"}, {}, ("base base in another version",)),
        ({}, {"base": "zoo:tiny/other"}, ("base other instead of base",)),
    ],
)
def test_each_change_is_said_once(a: dict[str, Any], b: dict[str, Any], said: tuple[str, ...]) -> None:
    assert differences(recipe(**a), recipe(**b)) == said


def test_a_weight_and_an_override_of_one_expert_name_the_expert() -> None:
    plain = recipe("ties")
    models = [{"ref": "zoo:tiny/digits", "weight": 0.5}, {"ref": "zoo:tiny/letters", "params": {"density": 0.4}}]
    other = recipe("ties", models=[*models, {"ref": "zoo:tiny/greek"}])
    assert differences(plain, other) == ("digits 1 → 0.5", "letters: density 0.4")


def test_the_words_for_references_are_the_callers() -> None:
    said = differences(recipe(), recipe(names=("digits", "letters")), lambda ref: f"[{name_of(ref).upper()}]")
    assert said == ("[GREEK] left out",)


def test_a_pin_alone_is_another_version() -> None:
    pinned = recipe(models=[{"ref": "zoo:tiny/digits@0123456789abcdef"}])
    assert differences(recipe(names=("digits",)), pinned) == ("digits in another version",)
