"""Links to studies are for ever, and come from anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.geometry.links import read_link
from app.sharing import link
from app.state import StudioState, parse_state
from app.studio.families_of_zoo import families_of
from merging_core.checkpoints.zoo import load_zoo
from merging_core.errors import BasinError

GOLDEN = json.loads((Path(__file__).parent / "golden_links.json").read_text(encoding="utf-8"))
FAMILIES = families_of(load_zoo())


def state_of(row: dict[str, Any]) -> StudioState:
    return parse_state(link.decode(row["s"]), FAMILIES)


@pytest.mark.parametrize("row", GOLDEN, ids=[f"{row['release']} {place}" for place, row in enumerate(GOLDEN)])
def test_golden_links_of_each_release_open(row: dict[str, Any]) -> None:
    state = state_of(row)
    assert link.decode(row["g"]) == row["study"]
    found: Any = read_link(row["g"], state, FAMILIES).spec.as_json()
    own = {"recipe": state.recipe.as_json()}
    asked = {**row["study"], "models": [own if model == "merge" else model for model in row["study"]["models"]]}
    params = {name: found["study"]["params"][name] for name in asked["study"]["params"]}
    assert {**found, "study": {**found["study"], "params": params}} == asked


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"study": {"name": "interpolate", "params": {"points": 10**9}}},
        {"models": ["merge", "zoo:tiny/digits"]},
        {"models": "merge"},
        {"models": [["merge"], {"recipe": 1}]},
        {"base": "file:/etc/passwd"},
        {"splits": ["test"]},
        {"tasks": ["<b>"]},
        {"seed": -1},
        {"more": 1},
    ],
)
def test_a_study_that_this_basin_cannot_ask_is_refused_with_a_sentence(changed: dict[str, Any]) -> None:
    row = GOLDEN[0]
    with pytest.raises(BasinError, match="but "):
        read_link(link.encode({**row["study"], **changed}), state_of(row), FAMILIES)
