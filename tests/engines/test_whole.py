"""Leaves that a method sees whole: what is kept, what is read, what is said beforehand; the zoo's own numbers."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch

from assets.build import merges
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.crew import Crew
from merging_core.engines.streaming import stream_leaves
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.loading import load_task
from merging_core.methods import matrices
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import WIDE, Family, family

ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo"
EXPERTS = ("digits", "letters", "shapes", "counting", "styles", "greek")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


def test_what_was_found_in_an_expert_is_kept_while_weights_and_parameters_change(
    made: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []
    original = torch.linalg.eigh

    def counted(matrix: torch.Tensor) -> object:
        calls.append(tuple(matrix.shape))
        return original(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", counted)
    engine = LiveEngine(catalog, "cpu")
    engine.merge(made.recipe("tsv_m"))
    # Three matrices: a decomposition for each of three experts, and two polar factors.
    assert len(calls) == 3 * (3 + 2)
    for recipe, expected in (
        (made.recipe("tsv_m", **{"lambda": 0.4}), 0),
        (made.recipe("tsv_m", layer_scaling={"kind": "lines"}), 0),
        (made.recipe("tsv_m", weights=[1.0, 0.5, 2.0]), 3 * 2),
        (made.recipe("tsv_m", {"keep": "all"}), 3 * 2),
    ):
        calls.clear()
        engine.merge(recipe)
        assert len(calls) == expected


def test_each_leaf_is_worked_on_by_one_core_in_both_engines(
    made: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    original = matrices.spectrum

    def spied(matrix: torch.Tensor) -> object:
        threads.add(torch.get_num_threads())
        return original(matrix)

    monkeypatch.setattr("merging_core.methods.matrices.spectrum", spied)
    torch.set_num_threads(2)
    recipe = made.recipe("iso_c")
    LiveEngine(catalog, "cpu").merge(recipe)
    dict(stream_leaves(make_plan(recipe, catalog)))
    assert threads == {1}
    assert torch.get_num_threads() == 2


def test_a_crew_works_on_one_core_and_tells_the_first_error() -> None:
    crew = Crew(torch.device("cpu"), workers=2)
    assert crew.on_one_core(lambda number: number * torch.get_num_threads(), range(5)) == list(range(5))
    with pytest.raises(ZeroDivisionError):
        crew.on_one_core(lambda number: 1 // number, [1, 0, 2])
    crew.close()


def test_streaming_lets_go_of_its_worker_when_it_is_stopped(made: Family, catalog: Catalog) -> None:
    leaves = stream_leaves(make_plan(made.recipe("iso_c"), catalog))
    before = set(threading.enumerate())
    for name, _ in leaves:
        if name.endswith("0.mlp.fc1.weight"):
            break
    started = set(threading.enumerate()) - before
    assert started
    leaves.close()  # type: ignore[attr-defined]
    for worker in started:
        worker.join(timeout=120)
        assert not worker.is_alive()


def test_a_plan_says_what_matrices_cost(tmp_path: Path, catalog: Catalog) -> None:
    made = family(tmp_path, shapes=WIDE)
    plain, whole = make_plan(made.recipe("task_arithmetic"), catalog), make_plan(made.recipe("wudi"), catalog)
    assert plain.passes.operations == 0 and "matrices" not in plain.passes.assumption
    assert whole.passes.reads == plain.passes.reads == 1
    assert whole.passes.operations > 300 * 2 * 401 * 311 * 311
    assert whole.estimated_seconds > plain.estimated_seconds + 1
    assert whole.streaming_bytes > plain.streaming_bytes + 3 * 401 * 311 * 12
    assert "operations/s" in whole.table()
    fewer = make_plan(made.recipe("wudi", {"steps": 30}), catalog)
    assert fewer.estimated_seconds < whole.estimated_seconds


@pytest.mark.parametrize(
    ("title", "method", "independent"), [("ISO-C", "iso_c", merges.isotropic), ("TSV-M", "tsv_m", merges.singular)]
)
def test_on_the_zoo_the_merge_and_its_accuracy_are_those_of_the_study_written_apart(
    title: str, method: str, independent: object
) -> None:
    told = json.loads((ZOO / "manifest.json").read_text(encoding="utf-8"))["merges"]["tiny"]["recipes"]
    (row,) = (row for row in told if row["method"] == title)
    scale, refs = row["parameters"]["lambda"], [f"zoo:tiny/{name}" for name in EXPERTS]
    models = [{"ref": ref} for ref in refs]
    given = {"version": 1, "base": "zoo:tiny/base", "models": models, "method": {"name": method}, "lambda": scale}
    engine = LiveEngine(Catalog(load_zoo()), "cpu")
    merged = engine.merge(parse_recipe(given))
    base = engine.checkpoint("zoo:tiny/base")
    floating = {name: leaf for name, leaf in base.items() if leaf.is_floating_point()}
    vectors = {ref: {name: engine.checkpoint(ref)[name] - leaf for name, leaf in floating.items()} for ref in refs}
    expected = independent(vectors)  # type: ignore[operator]
    for name, leaf in floating.items():
        torch.testing.assert_close(merged.weights[name], leaf + scale * expected[name], rtol=1e-4, atol=2e-5)
    tasks = [load_task(ZOO / "tasks" / "tiny" / name) for name in EXPERTS]
    report = Evaluator("cpu").evaluate(merged.plan.survey.reference.config, merged.weights, tasks)
    assert report.average == pytest.approx(row["validation"]["average"], abs=0.002)
