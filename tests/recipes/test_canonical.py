"""The identity of a recipe."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from merging_core.errors import RecipeError
from merging_core.recipes import canonical, parse_recipe, recipe_hash
from tests.recipes.examples import PINS, mapping


def identity(given_recipe: dict[str, Any]) -> str:
    return recipe_hash(parse_recipe(given_recipe), PINS)


def test_golden_text() -> None:
    models = [{"ref": "zoo:tiny/digits", "weight": 1}, {"ref": "zoo:tiny/letters", "params": {"density": 0.3}}]
    text = canonical(parse_recipe(mapping("dare_linear", models=models, seed=7)), PINS)
    assert text == (
        '{"base":"zoo:tiny/base@0000000000000000","dtype":"float32","lambda":0.3,"layer_scaling":{"kind":"constant"},'
        '"mask":{"kind":"none"},"method":{"name":"dare_linear","params":{"density":0.5}},"models":['
        '{"params":{},"ref":"zoo:tiny/digits@1111111111111111","weight":1},'
        '{"params":{"density":0.3},"ref":"zoo:tiny/letters@2222222222222222","weight":1}],"seed":7,"version":1}'
    )
    assert json.loads(text)["lambda"] == 0.3
    assert identity(mapping("dare_linear", models=models, seed=7)) == hashlib.sha256(text.encode()).hexdigest()


LINES = {"kind": "lines", "alpha": 0.5, "beta": 1.0}
CURVE = {"kind": "curve", "points": [0, 0.5, 1e-5], "outside": "depth", "applies_to": "each"}
GOLDEN = [
    (mapping("linear"), "61068ed07d786c95d7e36f2ee4cad08cbdf9a8edc9156caae5e67c1648ba3603"),
    (
        mapping("task_arithmetic", mask={"kind": "magnitude"}, layer_scaling=LINES),
        "5dfa7de103574a80eec29d0d0352e3a330f12747fd9b8b4ceff194c0995a0cec",
    ),
    (
        mapping("ties", layer_scaling={"kind": "lines", "alpha_rule": "mean"}),
        "a2f8a8213a0ce6db4384e78ccf7608e8c8826ea609cf0d56c5462f3370780326",
    ),
    (
        mapping("dare_linear", layer_scaling=CURVE, dtype="bfloat16"),
        "0c6e5dafddf384377764d1de4e0fef29b1866f2850a91c4b18b345e8b6ed73a5",
    ),
    (mapping("dare_ties", seed=2**53 - 1), "8ccdd795e7aa610ed9db124d68311d1bc295ca0e26fe703161e75be179a82ec3"),
]


@pytest.mark.parametrize(("given_recipe", "expected"), GOLDEN)
def test_golden_hashes_never_change(given_recipe: dict[str, Any], expected: str) -> None:
    assert identity(given_recipe) == expected


@pytest.mark.parametrize(
    "same",
    [
        mapping("ties", method={"name": "ties", "params": {"density": 0.2}}),
        mapping("ties", method={"name": "ties", "params": {"scope": "model", "combine": "mean"}}),
        mapping("ties", mask={"kind": "none"}, layer_scaling={"kind": "constant"}, dtype="float32"),
        mapping("ties", models=[{"ref": "zoo:tiny/digits", "weight": 1}, {"weight": 1.0, "ref": "zoo:tiny/letters"}]),
        mapping("ties", models=[{"ref": "zoo:tiny/digits", "params": {"density": 0.2}}, {"ref": "zoo:tiny/letters"}]),
        mapping("ties", seed=99),
        dict(reversed(mapping("ties").items())),
    ],
)
def test_what_gives_the_same_weights_has_the_same_hash(same: dict[str, Any]) -> None:
    assert identity(same) == identity(mapping("ties"))


def test_what_gives_other_weights_has_another_hash() -> None:
    others = [
        mapping("ties"),
        mapping("dare_ties"),
        mapping("dare_ties", seed=1),
        mapping("ties", dtype="bfloat16"),
        mapping("ties", layer_scaling={"kind": "lines"}),
        mapping("ties", method={"name": "ties", "params": {"density": 0.3}}),
        mapping("ties", models=[{"ref": "zoo:tiny/digits", "params": {"density": 0.3}}, {"ref": "zoo:tiny/letters"}]),
        mapping("ties", models=[{"ref": "zoo:tiny/letters"}, {"ref": "zoo:tiny/digits"}]),
        mapping("ties", **{"lambda": 0.9}),
        mapping("task_arithmetic"),
        mapping("task_arithmetic", mask={"kind": "dare"}),
        mapping("task_arithmetic", mask={"kind": "dare"}, seed=1),
    ]
    assert len({identity(other) for other in others}) == len(others)


def test_a_parameter_that_came_later_is_in_the_text_only_where_it_differs() -> None:
    for section in ("mask", "method"):
        name = "task_arithmetic" if section == "mask" else "dare_linear"
        texts = [
            canonical(parse_recipe(mapping(name, **{section: {"kind": "dare", "rescale": rescale}})), PINS)
            if section == "mask"
            else canonical(parse_recipe(mapping(name, method={"name": name, "params": {"rescale": rescale}})), PINS)
            for rescale in ("probability", "norm")
        ]
        assert ["rescale" in text for text in texts] == [False, True]


def test_other_content_under_the_same_name_has_another_hash() -> None:
    recipe = parse_recipe(mapping())
    changed = {**PINS, "zoo:tiny/digits": "zoo:tiny/digits@" + "f" * 16}
    assert recipe_hash(recipe, PINS) != recipe_hash(recipe, changed)


def test_every_reference_without_a_pin_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        canonical(parse_recipe(mapping()), {"zoo:tiny/digits": PINS["zoo:tiny/digits"]})
    assert [problem.where for problem in caught.value.problems] == ["base", "models[1].ref"]


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-2.0, "-2"), (0.1, "0.1"), (1e-05, "1e-05"), (1 / 3, "0.3333333333333333")]
)
def test_numbers_are_written_shortly_and_exactly(value: float, text: str) -> None:
    written = canonical(parse_recipe(mapping(**{"lambda": value})), PINS)
    assert f'"lambda":{text},' in written
    assert json.loads(written)["lambda"] == value


def test_the_canonical_text_is_itself_a_recipe_with_the_same_hash() -> None:
    for given_recipe, expected in GOLDEN:
        recipe = parse_recipe(json.loads(canonical(parse_recipe(given_recipe), PINS)))
        pins = {pin: pin for pin in PINS.values()}
        assert recipe_hash(recipe, pins) == expected
