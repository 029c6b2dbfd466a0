"""The studio's state: read strictly, changed by pure transitions that keep what still means something."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import state as transitions
from app.sharing.link import decode, encode
from app.state import StudioState, default_state, parse_state
from merging_core.errors import BasinError, RecipeError
from merging_core.methods.registry import method, methods
from merging_core.recipes import changes
from tests.app.pretend import family, pair

FAMILIES = (family(), pair())
TINY = default_state(FAMILIES[0])


def with_recipe(**keys: Any) -> StudioState:
    document = TINY.as_json()
    document["recipe"] = {**document["recipe"], **keys}
    return parse_state(document, FAMILIES)


def used(state: StudioState) -> list[str]:
    return [entry.ref.rpartition("/")[2] for entry in state.recipe.models]


@pytest.mark.parametrize("place", [0, 1])
def test_the_first_state_merges_every_expert_and_reads_back_as_itself(place: int) -> None:
    state = default_state(FAMILIES[place])
    assert [entry.ref for entry in state.recipe.models] == [expert.ref for expert in FAMILIES[place].experts]
    assert parse_state(state.as_json(), FAMILIES) == state


def test_a_state_survives_a_link() -> None:
    state = replace(TINY, metric="accuracy", path=transitions.PathChoice("between", "zoo:tiny/digits", "zoo:tiny/base"))
    assert parse_state(decode(encode(state.as_json())), FAMILIES) == state


VARIED = [{"filter": "attn", "value": 0.5}, {"value": [0.1, 0.4]}]


def test_numbers_that_differ_between_leaves_survive_a_link_and_a_change_of_method() -> None:
    entries = [{**entry, "weight": VARIED} for entry in TINY.recipe.as_json()["models"]]  # type: ignore[attr-defined]
    mask = {"kind": "magnitude", "density": VARIED, "scope": "leaf"}
    state = with_recipe(models=entries, mask=mask, **{"lambda": VARIED})
    assert parse_state(decode(encode(state.as_json())), FAMILIES) == state
    ties = transitions.choose_method(state, "ties", FAMILIES).recipe
    assert (ties.method.params["density"], ties.models[0].weight) == (
        state.recipe.mask.params["density"],
        ties.models[1].weight,
    )
    assert ties.as_json()["models"][0]["weight"] == VARIED  # type: ignore[index]
    assert ties.as_json()["lambda"] == VARIED


def test_a_density_that_differs_between_leaves_goes_where_a_mask_looks_at_the_whole_model() -> None:
    dare = with_recipe(method={"name": "dare_linear", "params": {"density": VARIED}}, **{"lambda": 0.3})
    assert transitions.choose_method(dare, "ties", FAMILIES).recipe.method.params["density"] == 0.2


def test_every_problem_of_a_state_is_said_at_once() -> None:
    document = TINY.as_json()
    document["version"] = 7
    document["metric"] = "los"
    document["colour"] = "red"
    document["path"] = {"kind": "spiral"}
    document["recipe"]["lambda"] = float("nan")
    document["recipe"]["models"][0]["ref"] = "file:/etc/passwd"
    with pytest.raises(RecipeError) as caught:
        parse_state(document, FAMILIES)
    places = {problem.where for problem in caught.value.problems}
    assert {"state.version", "state.metric", "state.colour", "path", "lambda"} <= places


@pytest.mark.parametrize(
    "ref", ["file:/etc/passwd", "file:relative", "hub:owner/name", "zoo:basins/a", "zoo:tiny/other", "", "nonsense", 7]
)
def test_only_checkpoints_of_the_family_are_accepted(ref: object) -> None:
    for change in ({"models": [{"ref": ref}]}, {"base": ref}):
        document = TINY.as_json()
        document["recipe"] = {**document["recipe"], **change}
        with pytest.raises(RecipeError):
            parse_state(document, FAMILIES)
    with pytest.raises(RecipeError):
        transitions.choose_experts(TINY, [ref], FAMILIES)
    with pytest.raises(RecipeError):
        transitions.choose_path(TINY, {"kind": "between", "a": ref, "b": "zoo:tiny/base"}, FAMILIES)


def test_a_pinned_reference_is_of_the_family_too() -> None:
    state = with_recipe(models=[{"ref": "zoo:tiny/digits@0123456789abcdef", "weight": 0.5}])
    again = transitions.choose_experts(state, ["zoo:tiny/letters", "zoo:tiny/digits"], FAMILIES)
    assert [(entry.ref, entry.weight) for entry in again.recipe.models] == [
        ("zoo:tiny/digits@0123456789abcdef", 0.5),
        ("zoo:tiny/letters", 1.0),
    ]


@pytest.mark.parametrize("value", [None, 3, "text", [], [1], True, {}, {"version": 1}])
def test_what_is_no_state_gets_sentences(value: object) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_state(value, FAMILIES)
    assert all(str(problem).endswith((".", "?")) for problem in caught.value.problems)


# --- transitions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [info.name for info in methods()])
@pytest.mark.parametrize("start", [info.name for info in methods()])
def test_any_method_can_be_chosen_from_any_other_and_keeps_the_models_that_it_takes(start: str, name: str) -> None:
    state = replace(TINY, recipe=changes.with_weight(TINY.recipe, 1, -0.25))
    first = transitions.choose_method(state, start, FAMILIES)
    state = transitions.choose_method(first, name, FAMILIES)
    assert state.recipe.method.name == name
    # Experts with a weight go before those without.
    before = [entry.ref for entry in sorted(first.recipe.models, key=lambda entry: entry.weight == 0.0)]
    after = [entry.ref for entry in state.recipe.models]
    fewest, most = method(name).models
    assert set(after) == set(before[:most]) or (len(before) < fewest == len(after) and set(before) <= set(after))
    assert parse_state(state.as_json(), FAMILIES) == state


@pytest.mark.parametrize("name", [info.name for info in methods() if info.models[1] is None])
def test_weights_stay_as_far_as_the_method_takes_them(name: str) -> None:
    state = replace(TINY, recipe=changes.with_weight(TINY.recipe, 1, -0.25))
    state = transitions.choose_method(state, name, FAMILIES)
    second = {"any": -0.25, "not negative": 0.0, "none": 1.0}[method(name).weights]
    assert [entry.weight for entry in state.recipe.models] == [1.0, second, 1.0, 1.0, 1.0, 1.0]


def test_of_too_many_experts_a_method_takes_the_first_that_have_a_weight() -> None:
    state = replace(TINY, recipe=changes.with_weight(TINY.recipe, 0, 0.0))
    assert used(transitions.choose_method(state, "slerp", FAMILIES)) == ["letters", "shapes"]
    assert used(transitions.choose_method(state, "wise_ft", FAMILIES)) == ["letters"]


def test_a_method_for_few_is_tried_and_left_without_losing_experts_or_weights() -> None:
    ties = transitions.choose_method(replace(TINY, recipe=changes.with_weight(TINY.recipe, 4, 0.25)), "ties", FAMILIES)
    former = ties.as_json()["recipe"]["models"]
    for name in ("slerp", "wise_ft", "uniform_soup"):
        tried = transitions.choose_method(ties, name, FAMILIES, former)
        assert transitions.choose_method(tried, "ties", FAMILIES, former).recipe.models == ties.recipe.models


@pytest.mark.parametrize(
    "former", [[], "all", [3], [{"ref": "file:/etc/passwd"}], [{"ref": "zoo:basins/left"}], [{"weight": 1}]]
)
def test_former_models_that_cannot_be_get_a_sentence(former: object) -> None:
    with pytest.raises(RecipeError) as caught:
        transitions.choose_method(TINY, "ties", FAMILIES, former)
    assert all(str(problem).endswith((".", "?")) for problem in caught.value.problems)


def test_where_the_largest_changes_are_sought_says_nothing_of_an_angle() -> None:
    ties = transitions.choose_method(TINY, "ties", FAMILIES)
    assert ties.recipe.method.params["scope"] == "model"
    assert transitions.choose_method(ties, "slerp", FAMILIES).recipe.method.params["angle"] == "leaf"


def test_too_few_experts_are_joined_by_the_familys_next() -> None:
    one = transitions.choose_method(TINY, "wise_ft", FAMILIES)
    assert used(transitions.choose_method(one, "model_stock", FAMILIES)) == ["digits", "letters"]
    last = transitions.choose_experts(one, ["zoo:tiny/greek"], FAMILIES)
    assert used(transitions.choose_method(last, "slerp", FAMILIES)) == ["digits", "greek"]


def test_a_layer_scaling_for_one_expert_gives_way_when_a_method_needs_two() -> None:
    one = transitions.choose_scaling(transitions.choose_method(TINY, "wise_ft", FAMILIES), "lines_gamma")
    assert transitions.choose_method(one, "model_stock", FAMILIES).recipe.layer_scaling.kind == "constant"


@pytest.mark.parametrize(
    ("name", "wanted", "got"),
    [
        ("slerp", ["digits", "letters", "greek"], ["digits", "greek"]),
        ("slerp", ["letters"], ["letters", "shapes"]),
        ("slerp", [], ["shapes", "counting"]),
        ("slerp", ["shapes", "greek"], ["shapes", "greek"]),
        ("wise_ft", ["digits", "greek"], ["greek"]),
        ("wise_ft", [], ["letters"]),
    ],
)
def test_a_method_for_some_experts_exchanges_them_and_never_refuses(
    name: str, wanted: list[str], got: list[str]
) -> None:
    state = transitions.choose_method(TINY, name, FAMILIES)
    state = transitions.choose_experts(state, [f"zoo:tiny/{expert}" for expert in wanted], FAMILIES)
    assert used(state) == got


def test_every_pair_of_experts_can_be_reached_by_exchanging() -> None:
    reached, waiting = set(), [transitions.choose_method(TINY, "slerp", FAMILIES)]
    while waiting:
        state = waiting.pop()
        pair = tuple(used(state))
        if pair in reached:
            continue
        reached.add(pair)
        for expert in FAMILIES[0].experts:
            refs = [entry.ref for entry in state.recipe.models]
            toggled = [ref for ref in refs if ref != expert.ref] if expert.ref in refs else [*refs, expert.ref]
            waiting.append(transitions.choose_experts(state, toggled, FAMILIES))
    assert len(reached) == 15


def test_lambda_follows_the_method_while_it_is_the_methods_default() -> None:
    assert TINY.recipe.lambda_ == 0.3
    assert transitions.choose_method(TINY, "ties", FAMILIES).recipe.lambda_ == 1.0


def test_lambda_stays_where_the_visitor_put_it() -> None:
    moved = replace(TINY, recipe=changes.with_lambda(TINY.recipe, 0.7))
    assert transitions.choose_method(moved, "ties", FAMILIES).recipe.lambda_ == 0.7


def test_lambda_does_not_cross_from_weights_to_task_vectors() -> None:
    moved = replace(TINY, recipe=changes.with_lambda(TINY.recipe, 0.7))
    assert transitions.choose_method(moved, "linear", FAMILIES).recipe.lambda_ == 1.0


def test_the_density_goes_from_the_mask_to_the_method_that_owns_it_and_on() -> None:
    masked = with_recipe(mask={"kind": "magnitude", "density": 0.35, "scope": "leaf"})
    ties = transitions.choose_method(masked, "ties", FAMILIES)
    assert ties.recipe.mask.kind == "none"
    assert (ties.recipe.method.params["density"], ties.recipe.method.params["scope"]) == (0.35, "leaf")
    assert transitions.choose_method(ties, "dare_linear", FAMILIES).recipe.method.params["density"] == 0.35


def test_a_mask_keeps_its_density_when_its_kind_changes() -> None:
    masked = with_recipe(mask={"kind": "magnitude", "density": 0.35, "scope": "leaf"})
    assert transitions.choose_mask(masked, "dare").recipe.mask.params["density"] == 0.35
    assert transitions.choose_mask(masked, "none").recipe.mask.as_json() == {"kind": "none"}


def test_a_line_becomes_the_curve_of_the_same_shape() -> None:
    lined = with_recipe(layer_scaling={"kind": "lines", "alpha": 0.5, "beta": 1.0, "outside": "depth"})
    curve = transitions.choose_scaling(lined, "curve").recipe.layer_scaling
    points = curve.params["points"]
    assert isinstance(points, tuple)
    steps = [0.5 + index / (len(points) - 1) for index in range(len(points))]
    assert points == pytest.approx(steps, abs=1e-6)
    assert curve.params["outside"] == "depth"


def test_a_rule_for_alpha_takes_alphas_place_and_gives_it_back() -> None:
    lined = with_recipe(layer_scaling={"kind": "lines", "alpha": 0.5, "beta": 1.0})
    ruled = transitions.choose_alpha_rule(lined, "sum")
    assert "alpha" not in ruled.recipe.layer_scaling.params
    assert "alpha" in transitions.choose_alpha_rule(ruled, "value").recipe.layer_scaling.params


def test_experts_keep_their_weights_and_stand_in_the_familys_order() -> None:
    moved = replace(TINY, recipe=changes.with_weight(TINY.recipe, 2, 0.4))
    fewer = transitions.choose_experts(moved, ["zoo:tiny/greek", "zoo:tiny/shapes"], FAMILIES)
    assert [(entry.ref, entry.weight) for entry in fewer.recipe.models] == [
        ("zoo:tiny/shapes", 0.4),
        ("zoo:tiny/greek", 1.0),
    ]


@pytest.mark.parametrize("refs", [[], ["zoo:tiny/digits"] * 2, "zoo:tiny/digits", [1], None])
def test_impossible_experts_get_sentences(refs: object) -> None:
    with pytest.raises(RecipeError):
        transitions.choose_experts(TINY, refs, FAMILIES)


def test_another_family_begins_anew_but_keeps_the_metric() -> None:
    other = transitions.choose_family(replace(TINY, metric="accuracy"), "basins", FAMILIES)
    assert (other.family, other.metric) == ("basins", "accuracy")
    with pytest.raises(RecipeError, match="did you mean “basins”"):
        transitions.choose_family(TINY, "basin", FAMILIES)


def test_reset_returns_to_the_first_state() -> None:
    moved = replace(transitions.choose_method(TINY, "ties", FAMILIES), metric="accuracy")
    assert transitions.reset(moved, FAMILIES) == TINY


@pytest.mark.parametrize("name", ["tais", "", None, 3, ["ties"]])
def test_unknown_names_are_refused(name: object) -> None:
    for choose in (transitions.choose_mask, transitions.choose_scaling):
        with pytest.raises(RecipeError):
            choose(TINY, name)
    with pytest.raises(RecipeError):
        transitions.choose_method(TINY, name, FAMILIES)


@pytest.mark.parametrize(
    "path",
    [
        {"kind": "between", "a": "zoo:tiny/base", "b": "zoo:tiny/base"},
        {"kind": "between", "a": "zoo:tiny/base"},
        {"kind": "lambda", "a": 1},
        {"kind": ["lambda"]},
        "lambda",
        None,
    ],
)
def test_impossible_paths_are_refused(path: object) -> None:
    with pytest.raises(RecipeError):
        transitions.choose_path(TINY, path, FAMILIES)


def test_transitions_leave_the_state_in_hand_as_it_was() -> None:
    before = copy.deepcopy(TINY.as_json())
    transitions.choose_method(TINY, "ties", FAMILIES)
    transitions.choose_experts(TINY, ["zoo:tiny/digits"], FAMILIES)
    transitions.choose_scaling(TINY, "lines")
    assert TINY.as_json() == before


# --- whatever comes, sentences ---------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = [("family",), ("recipe",), ("path",), ("metric",), ("version",), ("path", "kind")] + [
    ("recipe", key)
    for key in ("base", "models", "mask", "method", "layer_scaling", "lambda", "dtype", "seed", "version")
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(PLACES), JSON)
def test_any_json_in_any_place_is_read_or_refused_with_sentences(place: tuple[str, ...], value: Any) -> None:
    document = copy.deepcopy(TINY.as_json())
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        state = parse_state(document, FAMILIES)
    except BasinError as error:
        assert isinstance(error, RecipeError)
        assert all(len(str(problem)) < 2000 for problem in error.problems)
    else:
        assert parse_state(state.as_json(), FAMILIES) == state
