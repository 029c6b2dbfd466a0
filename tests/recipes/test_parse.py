"""Reading recipes: what is right is completed, what is wrong is said, all at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.errors import RecipeError
from merging_core.masks.registry import masks
from merging_core.methods.info import Parameters
from merging_core.methods.registry import method, methods
from merging_core.recipes import parse_recipe
from merging_core.recipes.recipe import RESERVED
from merging_core.scaling.registry import scalings
from tests.recipes.examples import EXPERTS, mapping

NAN, INFINITY = float("nan"), float("inf")


def places(given_recipe: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(given_recipe)
    return [problem.where for problem in caught.value.problems]


def test_golden_defaults() -> None:
    found = parse_recipe(mapping("ties")).as_json()
    # Parameters that the method got later stand in no golden form.
    later = {info.name for info in method("ties").parameters if info.later}
    params = {name: value for name, value in found["method"]["params"].items() if name not in later}  # type: ignore[index]
    assert {**found, "method": {"name": "ties", "params": params}} == {
        "version": 1,
        "base": "zoo:tiny/base",
        "models": [{"ref": "zoo:tiny/digits", "weight": 1.0}, {"ref": "zoo:tiny/letters", "weight": 1.0}],
        "mask": {"kind": "none"},
        "method": {"name": "ties", "params": {"combine": "mean", "density": 0.2, "scope": "model"}},
        "layer_scaling": {"kind": "constant"},
        "lambda": 1.0,
        "dtype": "float32",
        "seed": 0,
    }


@pytest.mark.parametrize("info", methods(), ids=lambda info: info.name)
def test_lambda_defaults_to_the_methods_own(info: Any) -> None:
    assert parse_recipe(mapping(info.name)).lambda_ == info.default_lambda


@pytest.mark.parametrize("scaling", scalings(), ids=lambda info: info.name)
@pytest.mark.parametrize("info", methods(), ids=lambda info: info.name)
def test_what_was_read_reads_back_the_same(info: Any, scaling: Any) -> None:
    fewest, most = info.models[0], scaling.models[1] or info.models[0]
    if fewest > most:
        pytest.skip(f"{scaling.name} is for one expert, and {info.name} takes more")
    for free in masks() if info.domain == "task_vector" and not info.owned_mask else masks()[:1]:
        given_recipe = mapping(info.name, mask={"kind": free.name}, layer_scaling={"kind": scaling.name})
        given_recipe["models"] = EXPERTS[:fewest]
        recipe = parse_recipe(given_recipe)
        assert parse_recipe(recipe.as_json()) == recipe
        assert hash(parse_recipe(recipe.as_json())) == hash(recipe)


def test_the_argument_is_not_changed() -> None:
    given_recipe = mapping("ties", lambda_=None)
    del given_recipe["lambda_"]
    before = copy.deepcopy(given_recipe)
    parse_recipe(given_recipe)
    assert given_recipe == before


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("unknown key", {"lamda": 0.3}, ["lamda"]),
    ("no models", {"models": []}, ["models"]),
    ("models no list", {"models": {"ref": "zoo:a"}}, ["models"]),
    ("model no mapping", {"models": ["zoo:a"]}, ["models[0]"]),
    ("model without ref", {"models": [{"weight": 1}]}, ["models[0].ref"]),
    ("model with another key", {"models": [{"ref": "zoo:a", "wieght": 1}]}, ["models[0].wieght"]),
    ("ref without scheme", {"models": [{"ref": "digits"}]}, ["models[0].ref"]),
    ("ref no text", {"models": [{"ref": 3}]}, ["models[0].ref"]),
    ("base no text", {"base": 3}, ["base"]),
    ("same model twice", {"models": [{"ref": "zoo:a"}, {"ref": "zoo:b"}, {"ref": "zoo:a"}]}, ["models[2].ref"]),
    ("same model pinned", {"models": [{"ref": "zoo:a"}, {"ref": "zoo:a@" + "0" * 16}]}, ["models[1].ref"]),
    ("weight true", {"models": [{"ref": "zoo:a", "weight": True}]}, ["models[0].weight"]),
    ("weight text", {"models": [{"ref": "zoo:a"}, {"ref": "zoo:b", "weight": "1"}]}, ["models[1].weight"]),
    ("weight nan", {"models": [{"ref": "zoo:a", "weight": NAN}]}, ["models[0].weight"]),
    ("weight too small", {"models": [{"ref": "zoo:a", "weight": 1e-40}]}, ["models[0].weight"]),
    ("weight too large", {"models": [{"ref": "zoo:a", "weight": 1e7}]}, ["models[0].weight"]),
    ("weight endless", {"models": [{"ref": "zoo:a", "weight": 10**5000}]}, ["models[0].weight"]),
    ("lambda infinite", {"lambda": INFINITY}, ["lambda"]),
    ("lambda true", {"lambda": True}, ["lambda"]),
    ("lambda none", {"lambda": None}, ["lambda"]),
    ("seed fraction", {"seed": 0.5}, ["seed"]),
    ("seed negative", {"seed": -1}, ["seed"]),
    ("seed beyond what JSON carries", {"seed": 2**53}, ["seed"]),
    ("dtype unknown", {"dtype": "float23"}, ["dtype"]),
    ("method missing", {"method": None}, ["method"]),
    ("method empty", {"method": {}}, ["method.name"]),
    ("method text", {"method": "ties"}, ["method"]),
    ("method unknown", {"method": {"name": "tise"}}, ["method.name"]),
    ("method unhashable", {"method": {"name": ["ties"]}}, ["method.name"]),
    ("method with another key", {"method": {"name": "ties", "parms": {}}}, ["method.parms"]),
    ("method params no mapping", {"method": {"name": "ties", "params": [1]}}, ["method.params"]),
    ("parameter unknown", {"method": {"name": "ties", "params": {"densty": 0.3}}}, ["method.params.densty"]),
    ("density zero", {"method": {"name": "ties", "params": {"density": 0}}}, ["method.params.density"]),
    ("density above one", {"method": {"name": "ties", "params": {"density": 1.5}}}, ["method.params.density"]),
    ("scope unknown", {"method": {"name": "ties", "params": {"scope": "layer"}}}, ["method.params.scope"]),
    ("switch by number", {"method": {"name": "linear", "params": {"normalize": 1}}}, ["method.params.normalize"]),
    ("mask text", {"mask": "none"}, ["mask"]),
    ("mask empty", {"mask": {}}, ["mask.kind"]),
    ("mask unknown", {"mask": {"kind": "magnitud"}}, ["mask.kind"]),
    ("mask parameter without mask", {"mask": {"kind": "none", "density": 0.2}}, ["mask.density"]),
    ("mask beside ties", {"method": {"name": "ties"}, "mask": {"kind": "magnitude"}}, ["mask.kind"]),
    ("mask in the weight domain", {"method": {"name": "linear"}, "mask": {"kind": "dare"}}, ["mask.kind"]),
    ("scaling unknown", {"layer_scaling": {"kind": "linse"}}, ["layer_scaling.kind"]),
    ("scaling empty", {"layer_scaling": {}}, ["layer_scaling.kind"]),
    ("constant with alpha", {"layer_scaling": {"kind": "constant", "alpha": 1}}, ["layer_scaling.alpha"]),
    (
        "alpha beside its rule",
        {"layer_scaling": {"kind": "lines", "alpha": 1, "alpha_rule": "sum"}},
        ["layer_scaling.alpha"],
    ),
    (
        "rule on each",
        {"layer_scaling": {"kind": "lines", "alpha_rule": "sum", "applies_to": "each"}},
        ["layer_scaling.applies_to"],
    ),
    (
        "each in the weight domain",
        {"method": {"name": "linear"}, "layer_scaling": {"kind": "lines", "applies_to": "each"}},
        ["layer_scaling.applies_to"],
    ),
    ("gamma with two models", {"layer_scaling": {"kind": "lines_gamma"}}, ["models"]),
    ("curve of one point", {"layer_scaling": {"kind": "curve", "points": [1]}}, ["layer_scaling.points"]),
    ("curve with a hole", {"layer_scaling": {"kind": "curve", "points": [1, None]}}, ["layer_scaling.points"]),
    ("no base for task vectors", {"base": None}, ["base"]),
    ("lambda without base", {"base": None, "method": {"name": "linear"}, "lambda": 0.5}, ["lambda"]),
    (
        "scaling without base",
        {"base": None, "method": {"name": "linear"}, "layer_scaling": {"kind": "lines"}},
        ["layer_scaling.kind"],
    ),
    (
        "cancelling weights",
        {"method": {"name": "linear"}, "models": [{"ref": "zoo:a"}, {"ref": "zoo:b", "weight": -1}]},
        ["models"],
    ),
    (
        "density of a model without a mask",
        {"models": [{"ref": "zoo:a", "params": {"density": 0.3}}]},
        ["models[0].params.density"],
    ),
    (
        "scope of one model",
        {"method": {"name": "ties"}, "models": [{"ref": "zoo:a", "params": {"scope": "leaf"}}]},
        ["models[0].params.scope"],
    ),
    (
        "density of a model out of range",
        {"method": {"name": "ties"}, "models": [{"ref": "zoo:a", "params": {"density": 2}}]},
        ["models[0].params.density"],
    ),
    ("params of a model no mapping", {"models": [{"ref": "zoo:a", "params": 3}]}, ["models[0].params"]),
    ("version newer", {"version": 2}, ["version"]),
    ("version true", {"version": True}, ["version"]),
    ("version text", {"version": "1"}, ["version"]),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_named_with_its_place(changes: dict[str, Any], expected: list[str]) -> None:
    assert places(mapping(**changes)) == expected


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names_are_not_supported_yet(name: str) -> None:
    with pytest.raises(RecipeError, match="not supported yet"):
        parse_recipe(mapping(**{name: {}}))


@pytest.mark.parametrize("given_recipe", [None, [], "version: 1", 3, [("version", 1)]])
def test_a_recipe_is_a_mapping(given_recipe: object) -> None:
    assert places(given_recipe) == ["recipe"]


def test_a_version_must_be_there() -> None:
    given_recipe = mapping()
    del given_recipe["version"]
    assert places(given_recipe) == ["version"]


def test_all_problems_come_at_once() -> None:
    given_recipe = mapping(
        "ties",
        models=[{"ref": "zoo:a", "weight": "1"}, {"ref": "zoo:a"}, {"ref": "zoo:b", "params": {"density": 7}}],
        mask={"kind": "magnitude"},
        layer_scaling={"kind": "lines_gamma", "gama": 1},
        sede=3,
        dtype="int8",
    )
    given_recipe["lambda"] = NAN
    assert set(places(given_recipe)) == {
        "sede",
        "dtype",
        "lambda",
        "mask.kind",
        "models",
        "layer_scaling.gama",
        "models[0].weight",
        "models[1].ref",
        "models[2].params.density",
    }


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    with pytest.raises(RecipeError, match=r"lamda: keys are known by name, but lamda came; did you mean “lambda”\?"):
        parse_recipe(mapping(lamda=1))


def test_a_model_may_override_the_density_of_an_owned_and_of_a_free_mask() -> None:
    models = [{"ref": "zoo:a", "params": {"density": 0.3}}, {"ref": "zoo:b"}]
    for given_recipe in (mapping("dare_ties", models=models), mapping(models=models, mask={"kind": "magnitude"})):
        assert parse_recipe(given_recipe).models[0].params == Parameters(density=0.3)


def test_any_sign_of_a_weight_is_allowed_and_minus_zero_is_zero() -> None:
    models = [{"ref": "zoo:a", "weight": -1}, {"ref": "zoo:b", "weight": -0.0}]
    recipe = parse_recipe(mapping(models=models))
    assert [str(entry.weight) for entry in recipe.models] == ["-1.0", "0.0"]


def test_an_average_needs_no_base_and_may_have_one() -> None:
    assert parse_recipe(mapping("linear", base=None)).base is None
    scaled = mapping("linear", layer_scaling={"kind": "lines"})
    scaled["lambda"] = 0.5
    assert parse_recipe(scaled).base == "zoo:tiny/base"
    cancelling = [{"ref": "zoo:a"}, {"ref": "zoo:b", "weight": -1}]
    plain_sum = {"name": "linear", "params": {"normalize": False}}
    assert parse_recipe(mapping("linear", models=cancelling, method=plain_sum)).models[1].weight == -1.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["base", "models", "mask", "method", "layer_scaling", "lambda", "dtype", "seed", "version"])


@given(st.dictionaries(keys, json_values, max_size=4))
def test_any_json_is_a_recipe_or_an_error_with_sentences(changes: dict[str, Any]) -> None:
    try:
        recipe = parse_recipe(mapping(**changes))
    except RecipeError as error:
        assert all(str(problem).endswith((".", "?")) for problem in error.problems)
    else:
        assert parse_recipe(recipe.as_json()) == recipe


@given(json_values)
def test_any_value_as_a_model_is_read_or_refused(value: object) -> None:
    try:
        parse_recipe(mapping(models=[value]))
    except RecipeError as error:
        assert all(problem.where.startswith("models") for problem in error.problems)


@pytest.mark.parametrize("key", ["\x1b[31m\n", "\ud800", "x" * 9000], ids=["control", "surrogate", "long"])
def test_a_strangers_key_is_told_short_and_printable(key: str) -> None:
    model = {"ref": "zoo:tiny/digits", key: 1, "params": {key: 1}}
    method, mask = {"name": "task_arithmetic", key: 1, "params": {key: 1}}, {"kind": "magnitude", key: 1}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**mapping("task_arithmetic"), key: 1, "models": [model], "method": method, "mask": mask})
    assert len(caught.value.problems) == 6
    for problem in caught.value.problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 400


def test_forty_problems_are_told_and_the_rest_counted() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(mapping("ties", models=[{"ref": index} for index in range(100)]))
    assert len(caught.value.problems) == 41
    assert str(caught.value.problems[-1]) == "recipe: at most 40 problems are listed, but 60 more came."


def test_too_few_models_are_one_mistake() -> None:
    assert places(mapping("model_stock", models=EXPERTS[:1])) == ["models"]
