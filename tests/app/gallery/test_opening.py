"""A recipe of a visitor's own opens in the studio, in our words or in mergekit's, or is refused in sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from app.gallery.opening import RecipeDesk
from app.hub.admission import Admission
from app.live import Scheduler
from app.notices import Answer
from tests.app.pretend import PretendBench

MERGEKIT = """\
merge_method: task_arithmetic
base_model: zoo:tiny/base
models:
- model: zoo:tiny/digits
  parameters: {weight: [0, 1]}
"""
OURS = "{version: 1, base: 'zoo:tiny/base', models: [{ref: 'zoo:tiny/digits'}], method: {name: ties}}"


@pytest.fixture
def network() -> Iterator[Scheduler]:
    made = Scheduler()
    yield made
    made.close()


def asked(network: Scheduler, message: object) -> Answer:
    return asyncio.run(RecipeDesk(PretendBench(), Admission(None, network)).open_recipe("ann", message))


def test_a_recipe_of_mergekit_opens_with_what_to_know_about_it(network: Scheduler) -> None:
    answer = asked(network, {"text": MERGEKIT})
    assert answer["ok"] and answer["state"]["family"] == "tiny"
    assert answer["state"]["recipe"]["models"] == [{"ref": "zoo:tiny/digits", "weight": [0.0, 1.0]}]
    assert answer["notes"] == [
        "the recipe names no dtype; the merge is stored as float32, where mergekit keeps the models’"
    ]


def test_a_recipe_of_ours_opens_too(network: Scheduler) -> None:
    answer = asked(network, {"text": OURS})
    assert answer["ok"] and answer["state"]["recipe"]["method"]["name"] == "ties" and answer["notes"] == []


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"text": MERGEKIT.replace("weight", "wieght")}, "line 5: models[0].parameters.wieght"),
        ({"text": MERGEKIT.replace("zoo:tiny/digits", "/etc")}, "folders are opened by the command line alone"),
        ({"text": MERGEKIT.replace("zoo:tiny/digits", "file:/etc")}, "file:"),
        ({"text": MERGEKIT.replace("digits", "zebra")}, "zoo:tiny/zebra"),
        ({"text": "a: &b [1]\nc: *b"}, "no anchors or aliases"),
        ({"text": ""}, "a recipe is JSON or YAML text"),
        ({"text": 3}, "text is a recipe of at most 65536 characters"),
        ({"text": "x" * 65537}, "text is a recipe of at most 65536 characters"),
    ],
)
def test_what_does_not_open_is_refused_in_sentences(network: Scheduler, message: object, said: str) -> None:
    answer = asked(network, message)
    assert not answer["ok"]
    assert any(said in problem["sentence"] for problem in answer["problems"]), answer
