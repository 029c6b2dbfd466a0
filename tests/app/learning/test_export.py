"""What was learned, exported: the files of the merge that the studio shows, with the tensors beside the recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.export.planning import Planner
from app.export.work import export
from app.ledger import Ledger
from app.state import parse_state
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan
from merging_core.recipes import parse_recipe
from tests.app.learning.test_learning import closed, opened


def never() -> bool:
    return False


class Quiet:
    """Stands in for the reporter of a job."""

    cancelled = staticmethod(never)

    def log(self, text: str) -> None: ...
    def progress(self, share: float, what: str, done: int = 0, standing: Any = None) -> None: ...


def test_an_export_of_what_was_learned_is_the_merge_of_the_studio_and_stands_alone(tmp_path: Path) -> None:
    room, ledger = opened(tmp_path / "data"), Ledger(None)
    run = room.made()
    room.work_on(run)
    recipe = (room.runs.files(run).read("result") or {})["recipe"]
    state = parse_state({**run.state, "recipe": recipe}, room.bench.families)
    zoo = load_zoo()
    planner = Planner(room.bench, ledger, zoo.root, None, tmp_path, 10**9, learned=room.runs.learned.root)
    plan, _ = planner.plan(state, None)
    quiet: Any = Quiet()
    export({**planner.payload("ann", state, plan, None, never), "charts": []}, tmp_path, quiet)

    out = tmp_path / "result"
    exported = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    again = make_plan(parse_recipe(exported), Catalog(zoo, learned=LearnedTensors((out,))))
    assert again.hash == room.bench.identity(state) == plan.hash
    assert (out / "recipe.tensors").read_bytes() == room.runs.learned.path(recipe["tensors"]).read_bytes()
    assert "recipe.tensors" in (out / "README.md").read_text(encoding="utf-8")
    ledger.close()
    closed(room)
