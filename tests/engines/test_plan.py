"""Plans: everything that headers reveal, all at once, and nothing read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog, Checkpoint
from merging_core.checkpoints.reader import Reading
from merging_core.engines import make_plan
from merging_core.engines.pricing import available_memory
from merging_core.errors import BasinError, PlanError, SpaceError
from merging_core.recipes.canonical import recipe_hash
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import SHAPES, WIDE, Family, family, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


def test_a_plan_reads_no_tensor(made: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a tensor was read")

    for name in ("read", "read_range", "compute_content"):
        monkeypatch.setattr(Checkpoint, name, refuse)
    plan = make_plan(made.recipe("dare_ties"), catalog)
    told = plan.as_json()
    assert told["hash"] is None and len(told["unidentified"]) == 4
    assert "not known before" in plan.table()


def test_a_plan_counts_leaves_bytes_and_passes(made: Family, catalog: Catalog) -> None:
    elements = sum(torch.Size(shape).numel() for shape in SHAPES.values())
    plan = make_plan(made.recipe("task_arithmetic", dtype="bfloat16"), catalog)
    told = plan.as_json()
    assert told["elements"] == elements
    assert told["output_bytes"] == 2 * elements + 5 * 8 + 2
    assert [leaf["name"] for leaf in told["copied"]] == ["embeddings.position_ids", "flags"]
    assert "I64 is not averaged; taken from the base" in plan.table()
    assert told["passes"] == {"experts": 1, "why": ["one to merge and write"]}
    assert make_plan(made.recipe("ties"), catalog).passes.reads == 4
    sums = {"kind": "lines", "alpha_rule": "sum"}
    assert make_plan(made.recipe("task_arithmetic", layer_scaling=sums), catalog).passes.reads == 3
    assert json.loads(json.dumps(told)) == told
    assert told["memory"]["live"] >= 4 * elements * 4
    assert told["estimated_seconds"] >= 0 and "GB/s" in told["assumption"]


def test_the_passes_that_a_plan_names_are_those_that_streaming_makes(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from merging_core.engines.streaming import stream_leaves

    # Large enough that the thresholds are counted, not selected in one reading.
    made = family(tmp_path, shapes=WIDE)

    original, read = Reading.read_range, []

    def counted(self: Reading, name: str, start: int, stop: int, *, check: bool = True) -> torch.Tensor:
        if self.label.startswith("file:expert"):
            read.append(stop - start)
        return original(self, name, start, stop, check=check)

    monkeypatch.setattr(Reading, "read_range", counted)
    sums = {"kind": "lines", "alpha_rule": "sum"}
    methods = ("linear", "ties", "model_stock")
    plus = {"cancelled": "positive"}
    recipes = (*map(made.recipe, methods), made.recipe("ties", layer_scaling=sums), made.recipe("ties", plus))
    for recipe in recipes:
        plan = make_plan(recipe, catalog)
        read.clear()
        list(stream_leaves(plan))
        assert sum(read) == plan.passes.reads * plan.space.size * len(made.experts)
    reads = [make_plan(made.recipe("ties", params), catalog).passes.reads for params in ({}, plus)]
    assert reads == [4, 3]


def test_the_hash_is_that_of_the_pinned_recipe(made: Family, catalog: Catalog) -> None:
    recipe = made.recipe("ties")
    plan = make_plan(recipe, catalog)
    refs = (made.base, *made.experts)
    pins = {ref: str(catalog.pin(ref)) for ref in refs}
    assert plan.pins == pins
    assert plan.hash == recipe_hash(recipe, pins)


def test_lossy_casts_idle_models_and_twins_are_warned_of(made: Family, catalog: Catalog) -> None:
    plan = make_plan(made.recipe("ties", weights=[1.0, 0.0, 1.0], dtype="float16"), catalog)
    assert plan.warnings == (
        "weights stored as F32 are rounded to float16, once, at the end",
        "file:expert1 has weight 0 and no say in the merge",
    )
    assert make_plan(made.recipe("ties"), catalog).warnings == ()
    assert "warning" in plan.table()


def test_every_problem_of_every_model_is_told_at_once(made: Family, catalog: Catalog, tmp_path: Path) -> None:
    short = {name: value for name, value in made.base_tensors.items() if name != "logit_scale"}
    bent = {**made.base_tensors, "post_layernorm.weight": torch.zeros(2)}
    refs = [write(tmp_path / "short", short), write(tmp_path / "bent", bent), f"file:{tmp_path}/absent"]
    models = [{"ref": ref} for ref in refs]
    given = {"version": 1, "base": made.base, "models": models, "method": {"name": "task_arithmetic"}}
    with pytest.raises(PlanError) as caught:
        make_plan(parse_recipe(given), catalog)
    text = str(caught.value)
    for part in ("models[2]", "absent", "short: logit_scale", "bent: post_layernorm.weight"):
        assert part in text
    with pytest.raises(SpaceError) as only_space:
        make_plan(parse_recipe({**given, "models": models[:2]}), catalog)
    assert len(only_space.value.problems) == 2


def test_two_absent_models_are_both_named(made: Family, catalog: Catalog, tmp_path: Path) -> None:
    models = [{"ref": f"file:{tmp_path}/one"}, {"ref": f"file:{tmp_path}/two"}]
    given = {"version": 1, "base": made.base, "models": models, "method": {"name": "ties"}}
    with pytest.raises(BasinError) as caught:
        make_plan(parse_recipe(given), catalog)
    assert "models[0]" in str(caught.value) and "models[1]" in str(caught.value)


def test_one_file_under_two_spellings_is_the_same_model_twice(made: Family, catalog: Catalog) -> None:
    folder = made.experts[0].removeprefix("file:")
    for other in (f"{folder}/", f"{folder}/../{Path(folder).name}", f"{folder}/model.safetensors"):
        models = [{"ref": made.experts[1]}, {"ref": made.experts[0]}, {"ref": f"file:{other}"}]
        given = {"version": 1, "base": made.base, "models": models, "method": {"name": "task_arithmetic"}}
        with pytest.raises(PlanError) as caught:
            make_plan(parse_recipe(given), catalog)
        (problem,) = caught.value.problems
        assert problem.where == "models[2].ref" and problem.must == "each model stands in the list once"
    base_too = {**given, "models": [{"ref": made.base}, {"ref": made.experts[0]}]}
    assert len(make_plan(parse_recipe(base_too), catalog).survey.experts) == 2


def test_leaves_without_a_single_element_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    refs = [write(tmp_path / name, {"w": torch.zeros(0)}, {}) for name in ("base", "expert")]
    given = {"version": 1, "base": refs[0], "models": [{"ref": refs[1]}], "method": {"name": "task_arithmetic"}}
    with pytest.raises(PlanError, match="some leaf has elements, but none came"):
        make_plan(parse_recipe(given), catalog)


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_memory_of_a_container_counts_where_it_is_less_than_the_machines(name: str, tmp_path: Path) -> None:
    machine = available_memory(str(tmp_path / "none"))
    assert machine is None or machine > 1 << 20
    limit = tmp_path / name
    limit.parent.mkdir(exist_ok=True)
    for text, wanted in (("1048576\n", 1 << 20), ("max\n", machine), (str(1 << 62), machine or 1 << 62)):
        limit.write_text(text)
        assert available_memory(str(tmp_path)) == wanted
