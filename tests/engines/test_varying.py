"""Numbers that differ from leaf to leaf: every method, mask and scaling merges each leaf by its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import PlanError
from merging_core.masks.registry import mask
from merging_core.methods.info import ParameterInfo
from merging_core.methods.registry import method
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from tests.engines.choices import recipes
from tests.engines.test_same_bits import NORMS, PLACEHOLDERS, Remembering
from tests.engines.world import Family, assert_same_bits, bits, family, write

SCALED = "task_arithmetic-none-lines-{'applies_to': 'each'}"
KINDS = tuple(
    name
    for name in recipes(*PLACEHOLDERS)
    if name.endswith("-constant-defaults") and (name.split("-")[1] == "none" or name.startswith("task_arithmetic-"))
)
MORE = (*NORMS, SCALED, "slerp-none-constant-{'angle': 'model'}", "ramplus_tl-none-constant-{'counted': 'model'}")
WHOLE = 1 << 18
PART = "mlp"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Remembering:
    return Remembering(Catalog(Zoo(tmp_path_factory.mktemp("zoo"), (), {}, {}, {}), allow_files=True))


@pytest.fixture(scope="module")
def engine(catalog: Remembering) -> LiveEngine:
    return LiveEngine(catalog, "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def known(made: Family) -> dict[str, dict[str, Any]]:
    return recipes(made.base, made.experts)


def numbers(given: dict[str, Any]) -> dict[str, ParameterInfo]:
    """Return every number of method and mask that may differ between leaves, by its name."""
    info = method(given["method"]["name"])
    infos = (*info.parameters, *mask(given["mask"]["kind"]).parameters)
    return {one.name: one for one in infos if one.per_leaf}


def with_every(given: dict[str, Any], change: Any) -> dict[str, Any]:
    """Return a recipe in which each number that may vary is `change(number)`; masks look within each leaf."""
    named = numbers(given)
    weighted = method(given["method"]["name"]).weights != "none"

    def changed(params: dict[str, Any]) -> dict[str, Any]:
        leafwise = {"scope": "leaf"} if params.get("scope") == "model" else {}
        return {name: change(value) if name in named else value for name, value in {**params, **leafwise}.items()}

    return {
        **given,
        "models": [
            {**entry, "weight": change(entry["weight"]) if weighted else entry["weight"]} for entry in given["models"]
        ],
        "method": {**given["method"], "params": changed(given["method"]["params"])},
        "mask": changed(given["mask"]),
        "lambda": change(given["lambda"]),
    }


def own_numbers(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the models with weights that vary, the first with numbers of its own in some leaves."""
    values = {**given["mask"], **given["method"]["params"]}
    own = {
        name: [{"filter": "layers.0", "value": half(values[name])}]
        for name, info in numbers(given).items()
        if info.per_model
    }
    first, *others = with_every(given, mixed)["models"]
    return [{**first, "params": own}, *others]


def half(value: float) -> float:
    return value / 2


def mixed(value: float) -> list[dict[str, Any]]:
    return [
        {"filter": PART, "value": [half(value), value]},
        {"filter": "layers.2", "value": half(value)},
        {"value": value},
    ]


def streamed(recipe: Recipe, catalog: Remembering, chunk: int = WHOLE) -> dict[str, torch.Tensor]:
    return dict(stream_leaves(make_plan(recipe, catalog), chunk_elements=chunk))


@pytest.mark.parametrize("name", (*KINDS, *MORE))
def test_both_engines_give_the_same_bits_where_every_number_varies(
    name: str, known: dict[str, Any], catalog: Remembering, engine: LiveEngine
) -> None:
    recipe = parse_recipe({**with_every(known[name], mixed), "models": own_numbers(known[name])})
    live = engine.merge(recipe).weights
    for chunk in (7, WHOLE):
        assert_same_bits(live, streamed(recipe, catalog, chunk))
    assert_same_bits(live, LiveEngine(catalog, "cpu").merge(recipe).weights)


@pytest.mark.parametrize("name", (*KINDS, *MORE))
def test_a_list_of_equal_numbers_is_that_number(
    name: str, known: dict[str, Any], catalog: Remembering, engine: LiveEngine
) -> None:
    one = parse_recipe(with_every(known[name], lambda value: value))
    for form in (
        lambda value: [value] * 3,
        lambda value: [{"filter": PART, "value": value}, {"value": [value, value]}],
    ):
        same = parse_recipe(with_every(known[name], form))
        assert same != one
        assert make_plan(same, catalog).hash == make_plan(one, catalog).hash
        assert_same_bits(engine.merge(one).weights, streamed(same, catalog))


@pytest.mark.parametrize(
    "name", [name for name in KINDS if not method(name.split("-")[0]).statistics and not name.startswith("pcb")]
)
def test_leaves_that_filters_part_are_those_of_two_merges(
    name: str, known: dict[str, Any], catalog: Remembering
) -> None:
    parted = with_every(known[name], lambda value: [{"filter": PART, "value": half(value)}, {"value": value}])
    found = LiveEngine(catalog, "cpu").merge(parse_recipe(parted)).weights
    inside = LiveEngine(catalog, "cpu").merge(parse_recipe(with_every(known[name], half))).weights
    outside = LiveEngine(catalog, "cpu").merge(parse_recipe(with_every(known[name], lambda value: value))).weights
    expected = {leaf: (inside if PART in leaf else outside)[leaf] for leaf in found}
    assert_same_bits(found, expected)
    assert name.startswith(("uniform_soup", "swa", "lawa", "hwa")) or any(
        not torch.equal(bits(found[leaf]), bits(outside[leaf])) for leaf in found if PART in leaf
    )


def test_a_list_over_depth_is_a_line_from_the_first_block_to_the_last(made: Family, engine: LiveEngine) -> None:
    recipe = made.recipe("task_arithmetic", weights=[[0.0, 1.0], 1.0, -0.5], **{"lambda": [0.2, 0.6, 0.4]})
    found = engine.merge(recipe).weights
    places = {"embeddings": 0.0, "layers.0": 0.0, "layers.1": 0.5, "layers.2": 1.0, "post": 0.0, "logit": 0.0}
    for name, merged in found.items():
        if not merged.is_floating_point():
            continue
        place = next(place for part, place in places.items() if part in name)
        scale = 0.2 + 0.8 * place if place <= 0.5 else 0.6 - 0.4 * (place - 0.5)
        base = made.base_tensors[name].double()
        summed = sum(
            weight * (tensors[name].double() - base)
            for weight, tensors in zip((place, 1.0, -0.5), made.expert_tensors, strict=True)
        )
        torch.testing.assert_close(merged.double(), base + scale * summed, rtol=1e-6, atol=1e-6)


def test_a_model_of_one_block_is_at_the_end_of_the_line(tmp_path: Path, catalog: Remembering) -> None:
    names = ("embeddings.class_embedding", "encoder.layers.0.mlp.fc1.weight", "post_layernorm.weight")
    base = write(tmp_path / "base", {name: torch.zeros(2) for name in names})
    expert = write(tmp_path / "expert", {name: torch.ones(2) for name in names})
    models, method_section = [{"ref": expert}], {"name": "task_arithmetic"}
    given = {"version": 1, "base": base, "models": models, "method": method_section, "lambda": [0.25, 0.5, 0.75]}
    found = LiveEngine(catalog, "cpu").merge(parse_recipe(given)).weights
    assert [found[name][0].item() for name in names] == [0.25, 0.75, 0.25]


def test_a_leaf_that_no_case_takes_has_the_default_or_what_all_models_have(made: Family, engine: LiveEngine) -> None:
    given = made.recipe("breadcrumbs", {"density": 0.5, "scope": "leaf"}).as_json()
    given["models"][0]["params"] = {"density": [{"filter": PART, "value": 0.1}]}  # type: ignore[index]
    given["models"][1]["weight"] = [{"filter": PART, "value": 2.0}]  # type: ignore[index]
    plan = engine.plan(parse_recipe(given))
    for leaf, own in zip(plan.space.leaves, plan.settings.leaves, strict=True):
        inside = PART in leaf.name
        assert own.masks[0].params["density"] == (0.1 if inside else 0.5)
        assert own.masks[1].params["density"] == 0.5
        assert own.weights[1] == (2.0 if inside else 1.0)


def test_the_numbers_of_one_expert_stand_beside_those_of_the_others(made: Family, engine: LiveEngine) -> None:
    given = made.recipe("consensus", {"agreement": 0.4}).as_json()
    given["models"][2]["params"] = {"agreement": [0.1, 0.3]}  # type: ignore[index]
    plan = engine.plan(parse_recipe(given))
    assert plan.settings.leaves[0].params["agreement"] == (0.4, 0.4, 0.1)
    last = [leaf.name for leaf in plan.space.leaves].index("encoder.layers.2.mlp.fc2.bias")
    assert plan.settings.leaves[last].params["agreement"] == (0.4, 0.4, 0.3)


def test_weights_that_do_not_go_together_somewhere_are_told_with_the_leaf(made: Family, catalog: Remembering) -> None:
    cancelling = made.recipe("linear", weights=[1.0, 1.0, [{"filter": "self_attn", "value": -2.0}]])
    with pytest.raises(PlanError) as error:
        make_plan(cancelling, catalog)
    (problem,) = error.value.problems
    assert problem.where == "models at encoder.layers.2.self_attn.q_proj.weight"
    assert problem.got == "1, 1, -2"


def test_a_plan_says_what_varies_and_which_filters_decide_about_nothing(made: Family, catalog: Remembering) -> None:
    cases = [{"filter": "self_atn", "value": 1.0}, {"filter": PART, "value": 0.5}, {"filter": "mlp.fc1", "value": 2.0}]
    plan = make_plan(made.recipe("task_arithmetic", weights=[cases, 1.0, 1.0], **{"lambda": [0, 1]}), catalog)
    assert "varies   λ: 0 … 1" in plan.table()
    assert "weight of expert0: 1 in self_atn, 0.5 in mlp, 2 in mlp.fc1, else 1" in plan.table()
    unknown, hidden = plan.warnings
    assert unknown == "models[0].weight: filter self_atn is part of no leaf’s name; did you mean “self_attn”?"
    assert hidden == "models[0].weight: filter mlp.fc1 decides about no leaf, because earlier ones take its leaves"


def test_layers_show_the_mean_of_lambdas_that_differ_within_a_depth(made: Family, engine: LiveEngine) -> None:
    parted = engine.layers(
        made.recipe("task_arithmetic", **{"lambda": [{"filter": ".bias", "value": 0.0}, {"value": 1.0}]})
    )
    plain = engine.layers(made.recipe("task_arithmetic", **{"lambda": 1.0}))
    at = parted.labels.index("0")
    assert parted.factors[at] == pytest.approx(32 / 40)
    assert parted.merged_norms[at] < plain.merged_norms[at]
    assert parted.factors[parted.labels.index("1")] == 1.0
    assert parted.merged_norms[parted.labels.index("1")] == plain.merged_norms[plain.labels.index("1")]


def test_only_what_a_varying_number_is_read_by_is_computed_again(
    made: Family, catalog: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    from merging_core.engines import live, masked

    calls: list[str] = []
    for module, name in ((masked, "mask_flat"), (live, "combine_flat"), (live, "finish_flat")):
        original = getattr(module, name)

        def counted(*args: object, name: str = name, original: Any = original) -> object:
            calls.append(name.removesuffix("_flat"))
            return original(*args)

        monkeypatch.setattr(module, name, counted)
    engine = LiveEngine(catalog, "cpu")
    params = {"density": [0.2, 0.4], "scope": "leaf"}
    over_depth = {"weights": [[0.5, 1.0], 1.0, 1.0], "lambda": [0.1, 0.9]}
    steps: list[tuple[Recipe, list[str]]] = [
        (made.recipe("ties", params), ["mask"] * 3 + ["combine", "finish"]),
        (made.recipe("ties", params, **{"lambda": [0.1, 0.9]}), ["finish"]),
        (made.recipe("ties", params, **over_depth), ["combine", "finish"]),
        (made.recipe("ties", {**params, "density": [0.2, 0.3]}, **over_depth), ["mask"] * 3 + ["combine", "finish"]),
        (made.recipe("ties", params), ["finish"]),
    ]
    for recipe, expected in steps:
        calls.clear()
        engine.merge(recipe)
        assert calls == expected
