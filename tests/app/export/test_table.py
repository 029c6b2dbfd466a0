"""The plan as the page's table: every leaf with its fate, and everything that is in the way at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from app.export.planning import Planner
from app.export.table import Conditions, table_of
from app.ledger import Ledger
from app.state import StudioState, default_state
from app.studio.workbench import Workbench
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan
from merging_core.errors import PlanError
from merging_core.recipes import parse_recipe
from tests.app.pretend import PretendBench
from tests.engines.world import write

ZOO = Path(__file__).resolve().parents[3] / "assets" / "zoo"


@pytest.fixture
def state(bench: Workbench) -> StudioState:
    return default_state(bench.families[0])


@pytest.fixture
def bench() -> Workbench:
    return PretendBench()


def planner(bench: Workbench, **more: int) -> Planner:
    return Planner(bench, Ledger(None), ZOO, None, None, **{"largest": 10**12, **more})


def test_every_leaf_stands_in_the_table_with_what_becomes_of_it(tmp_path: Path) -> None:
    names = [f"model.layers.{place}.w" for place in range(120)]
    shared = {name: torch.zeros(2, 2) for name in names} | {"position_ids": torch.arange(5)}
    config = {"model_type": "llama", "tie_word_embeddings": False}
    embedding = "model.embed_tokens.weight"
    refs = [
        write(tmp_path / f"m{rows}", shared | {embedding: torch.zeros(rows, 4)}, {**config, "vocab_size": rows})
        for rows in (6, 9)
    ]
    document = {"version": 1, "base": refs[0], "models": [{"ref": refs[1]}], "method": {"name": "task_arithmetic"}}
    recipe = parse_recipe({**document, "vocabulary": "common rows"})
    plan = make_plan(recipe, Catalog(load_zoo(), allow_files=True))
    table = table_of(plan, 1_000)
    told = {outcome["what"]: outcome for outcome in table["outcomes"]}
    assert set(told) == {"merged", "copied", "resized"}
    assert told["merged"]["count"] == 121 and len(told["merged"]["leaves"]) == 100
    assert told["copied"]["leaves"] == ["position_ids"] and told["copied"]["bytes"] == 40
    assert told["resized"]["leaves"] == [embedding] and told["resized"]["reason"] == plan.resized[0][1]
    assert (table["bytes"], table["leaves"]) == (plan.output_bytes, len(plan.outputs))
    assert table["memory"]["needed"] == plan.peak_bytes and table["passes"]["reads"] == 1
    assert len(table["files"]) > 1 and sum(file["bytes"] for file in table["files"]) == plan.output_bytes


def test_everything_that_is_in_the_way_is_said_together() -> None:
    found = Conditions(5_000, 1_000, 5_499, (("hub:a/b", 7),))
    assert [problem.where for problem in found.problems] == ["export", "export", "hub:a/b"]
    assert Conditions(5_000, 5_000, 5_500).problems == ()


def test_a_machine_too_small_is_said_with_a_disk_too_small(
    bench: Workbench, state: StudioState, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, conditions = planner(bench).plan(state, None)
    assert conditions.problems == () and conditions.needed >= 1.1 * plan.output_bytes - 1
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=7))
    plan, conditions = planner(bench, largest=8).plan(state, None)
    assert len(conditions.problems) == 2
    with pytest.raises(PlanError) as refused:
        conditions.check()
    assert refused.value.problems == conditions.problems
    with pytest.raises(PlanError) as refused:
        planner(bench, largest=8, memory=9).plan(state, None)
    assert [problem.got for problem in refused.value.problems[1:]] == [one.got for one in conditions.problems]
    assert "of memory" in refused.value.problems[0].must
