"""What a file holds is found out with progress, and given up when nobody wants it any more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog, reader
from merging_core.engines import make_plan
from merging_core.engines.identifying import identify, watched
from merging_core.engines.progress import Standing
from merging_core.errors import CancelledError
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import Family, family, write


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setattr(reader, "_HASHED_AT_ONCE", 64)
    return family(tmp_path)


def test_every_byte_of_every_model_is_told_and_the_hash_is_the_plans(made: Family, catalog: Catalog) -> None:
    told: list[Standing] = []
    plan = make_plan(made.recipe("ties"), catalog)
    assert len(plan.unidentified) == 4
    found = identify(plan, told.append)
    assert found == make_plan(made.recipe("ties"), catalog).hash
    ends = [(one.what, one.done) for one in told if one.done == one.total]
    sizes = {f"content of {model.label}": model.nbytes for model in plan.survey.checkpoints}
    assert dict(ends) == sizes and len(ends) == 4
    assert {one.stage for one in told} == {"content"}


def test_it_stops_between_two_blocks(made: Family, catalog: Catalog) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(CancelledError, match="a request to cancel it"):
        identify(make_plan(made.recipe("ties"), catalog), cancelled=cancelled)
    assert asked == 4


def test_a_pinned_file_is_hashed_when_it_is_opened_and_that_stops_too(made: Family, catalog: Catalog) -> None:
    pinned = parse_recipe(
        {**made.recipe("ties").as_json(), "base": str(catalog.pin(made.base)), "models": [{"ref": made.experts[0]}]}
    )
    told: list[Standing] = []
    with watched(told.append):
        make_plan(pinned, catalog)
    assert told[-1].share == 1.0 and told[-1].what == "content of file:base"
    with pytest.raises(CancelledError), watched(cancelled=lambda: True):
        make_plan(pinned, catalog)


def test_comparing_tied_leaves_stops_too(tmp_path: Path, catalog: Catalog) -> None:
    head = torch.ones(4, 2)
    config = {"model_type": "gpt2", "tie_word_embeddings": True, "architectures": ["GPT2LMHeadModel"]}
    tensors = {
        "transformer.wte.weight": head,
        "lm_head.weight": head.clone(),
        "transformer.h.0.ln_1.weight": torch.ones(2),
    }
    opened = catalog.open(write(tmp_path / "tied", tensors, config))
    assert opened.twins
    opened.check_twins()
    with pytest.raises(CancelledError), watched(cancelled=lambda: True):
        opened.check_twins()
