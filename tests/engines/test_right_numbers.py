"""The engines against a float64 merge written independently, against hand-worked numbers, and against laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import PlanError
from merging_core.recipes.parse import parse_recipe
from tests.engines.choices import recipes
from tests.engines.oracle import merge64
from tests.engines.world import Family, assert_same_bits, family, write

NAMES = tuple(recipes("file:/base", ("file:/0", "file:/1", "file:/2")))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def warm(made: Family, tmp_path_factory: pytest.TempPathFactory) -> LiveEngine:
    return LiveEngine(Catalog(Zoo(tmp_path_factory.mktemp("zoo"), (), {}, {}, {}), allow_files=True), "cpu")


@pytest.fixture(scope="module")
def contents(made: Family, warm: LiveEngine) -> list[str]:
    return [checkpoint.content() for checkpoint in warm.plan(made.recipe("linear")).survey.experts]


@pytest.fixture(scope="module")
def complete(made: Family) -> dict[str, dict[str, Any]]:
    return recipes(made.base, made.experts)


@pytest.mark.parametrize("name", NAMES)
def test_a_merge_equals_the_float64_reference_within_float32(
    name: str, made: Family, complete: dict[str, dict[str, Any]], warm: LiveEngine, contents: list[str]
) -> None:
    given = complete[name]
    recipe = parse_recipe(given)
    count = len(recipe.models)
    expected = merge64(given, made.base_tensors, list(made.expert_tensors[:count]), contents)
    merged = warm.merge(recipe).weights
    for leaf, reference in expected.items():
        np.testing.assert_allclose(merged[leaf].double().numpy(), reference, rtol=1e-6, atol=1e-6, err_msg=leaf)


def test_task_arithmetic_with_lines_worked_by_hand(tmp_path: Path, catalog: Catalog) -> None:
    base = {"embed.weight": torch.tensor([1.0]), "layers.0.w": torch.tensor([2.0]), "layers.1.w": torch.tensor([4.0])}
    one = {name: value + 1.0 for name, value in base.items()}
    two = {name: value + 3.0 for name, value in base.items()}
    refs = [write(tmp_path / name, tensors, {}) for name, tensors in (("b", base), ("1", one), ("2", two))]
    recipe = parse_recipe(
        {
            "version": 1,
            "base": refs[0],
            "models": [{"ref": refs[1], "weight": 1.0}, {"ref": refs[2], "weight": 0.5}],
            "method": {"name": "task_arithmetic"},
            "layer_scaling": {"kind": "lines", "alpha": 0.5, "beta": 1.0},
            "lambda": 2.0,
        }
    )
    # merged vector 1·1 + 0.5·3 = 2.5; factors α = 0.5 outside and in block 0, 1.5 in block 1; λ = 2.
    merged = LiveEngine(catalog, "cpu").merge(recipe).weights
    assert {name: value.item() for name, value in merged.items()} == {
        "embed.weight": 1.0 + 0.5 * 2 * 2.5,
        "layers.0.w": 2.0 + 0.5 * 2 * 2.5,
        "layers.1.w": 4.0 + 1.5 * 2 * 2.5,
    }


def test_ties_worked_by_hand(tmp_path: Path, catalog: Catalog) -> None:
    base = {"w": torch.zeros(4)}
    one, two = {"w": torch.tensor([4.0, -3.0, 0.5, 1.0])}, {"w": torch.tensor([2.0, 5.0, -0.25, 0.125])}
    refs = [write(tmp_path / name, tensors, {}) for name, tensors in (("b", base), ("1", one), ("2", two))]
    models = [{"ref": ref} for ref in refs[1:]]
    method = {"name": "ties", "params": {"density": 0.5}}
    recipe = parse_recipe({"version": 1, "base": refs[0], "models": models, "method": method})
    # Trim keeps 4, −3 and 2, 5; signs: 4+2 → +, −3+5 → +; means over those that agree: (4+2)/2 = 3 and 5.
    assert LiveEngine(catalog, "cpu").merge(recipe).weights["w"].tolist() == [3.0, 5.0, 0.0, 0.0]


@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties", "dare_linear", "dare_ties"])
def test_lambda_zero_gives_the_very_bits_of_the_base(method: str, made: Family, catalog: Catalog) -> None:
    recipe = made.recipe(method, **{"lambda": 0.0})
    base = {name: made.base_tensors[name] for name in catalog.open(made.base).leaves}
    assert_same_bits(base, LiveEngine(catalog, "cpu").merge(recipe).weights)
    assert_same_bits(base, dict(stream_leaves(make_plan(recipe, catalog))))


def test_weights_of_the_weight_domain_need_no_base_and_a_base_changes_nothing_at_lambda_one(
    made: Family, catalog: Catalog
) -> None:
    engine = LiveEngine(catalog, "cpu")
    with_base = engine.merge(made.recipe("linear")).weights
    models = [{"ref": ref} for ref in made.experts]
    alone = engine.merge(parse_recipe({"version": 1, "models": models, "method": {"name": "linear"}}))
    assert_same_bits(with_base, alone.weights)
    assert_same_bits(with_base, engine.simple_average(made.experts))
    assert alone.plan.copied[0].reason.endswith("the first model")


def test_zero_task_vectors_give_the_base_and_finite_statistics(made: Family, catalog: Catalog, tmp_path: Path) -> None:
    twins = [write(tmp_path / name, made.base_tensors) for name in ("twin", "other")]
    for method in ("task_arithmetic", "ties", "dare_ties"):
        models = [{"ref": ref} for ref in twins]
        sums = {"kind": "lines", "alpha_rule": "sum"}
        given = {"version": 1, "base": made.base, "models": models, "method": {"name": method}, "layer_scaling": sums}
        recipe = parse_recipe(given)
        engine = LiveEngine(catalog, "cpu")
        merged = engine.merge(recipe).weights
        assert all(torch.equal(merged[name], value) for name, value in made.base_tensors.items())
        stats = engine.layers(recipe)
        assert set(stats.sign_conflict) == {0.0} and stats.cosines == ((0.0, 0.0), (0.0, 0.0))


def test_integer_and_boolean_leaves_come_from_the_base(made: Family, catalog: Catalog) -> None:
    merged = LiveEngine(catalog, "cpu").merge(made.recipe("task_arithmetic")).weights
    assert torch.equal(merged["embeddings.position_ids"], torch.arange(5))
    assert merged["flags"].dtype is torch.bool


@pytest.mark.parametrize("stream", [False, True])
def test_numbers_that_do_not_fit_float16_are_named(stream: bool, tmp_path: Path, catalog: Catalog) -> None:
    base = {"a": torch.zeros(3), "b": torch.zeros(3)}
    expert = {"a": torch.ones(3), "b": torch.tensor([1.0, 60_000.0, -60_000.0])}
    refs = [write(tmp_path / "base", base, {}), write(tmp_path / "expert", expert, {})]
    given: dict[str, Any] = {"version": 1, "base": refs[0], "models": [{"ref": refs[1]}], "dtype": "float16"}
    recipe = parse_recipe({**given, "method": {"name": "task_arithmetic"}, "lambda": 2.0})
    with pytest.raises(PlanError) as caught:
        if stream:
            list(stream_leaves(make_plan(recipe, catalog)))
        else:
            LiveEngine(catalog, "cpu").merge(recipe)
    must = "b: every merged number fits float16, but 2 of 3 that do not came"
    assert str(caught.value).startswith(must)
    assert len(caught.value.problems) == 1
