"""The examples: each recipe parses, plans and merges on the embedded zoo, and a bad list says all that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.gallery.examples import FOLDER, INDEX, Example, ExampleError, read_examples
from app.gallery.service import Gallery
from app.live import Scheduler
from app.settings import Settings
from app.state import parse_state
from app.studio.bench import ZooBench
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines.live import LiveEngine
from merging_core.engines.plan import make_plan
from tests.app.pretend import PretendBench

EXAMPLES = read_examples(FOLDER)
GOOD = """version: 1
examples:
  - {recipe: one.yaml, title: One, sentence: A merge., family: tiny}
"""
RECIPE = """version: 1
base: zoo:tiny/base
models: [{ref: "zoo:tiny/digits"}]
method: {name: task_arithmetic}
"""


@pytest.fixture(scope="module")
def bench() -> ZooBench:
    return ZooBench(Settings.from_env({"BASIN_DATA": "", "BASIN_DEVICE": "cpu"}, make_folder=False))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(load_zoo(Settings.from_env({}, make_folder=False).zoo), allow_files=False)


@pytest.fixture(scope="module")
def engine(catalog: Catalog) -> LiveEngine:
    return LiveEngine(catalog, "cpu")


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler()
    yield made
    made.close()


def folder_with(folder: Path, index: str, recipe: str = RECIPE) -> Path:
    (folder / INDEX).write_text(index)
    (folder / "one.yaml").write_text(recipe)
    return folder


def test_every_recipe_of_the_folder_is_an_example() -> None:
    files = {path.stem for path in FOLDER.iterdir() if path.name != INDEX}
    assert {example.name for example in EXAMPLES} == files
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_plans_and_merges_and_opens_in_the_studio(
    example: Example, bench: ZooBench, catalog: Catalog, engine: LiveEngine
) -> None:
    merged = engine.merge(example.recipe)
    assert merged.plan.hash == make_plan(example.recipe, catalog).hash
    assert set(merged.weights) == set(engine.checkpoint(example.recipe.models[0].ref))
    state = parse_state(example.state(), bench.families)
    assert state.recipe == example.recipe
    assert state.family in {family.name for family in bench.families}


def test_every_example_is_another_merge(bench: ZooBench) -> None:
    identities = {bench.identity(parse_state(example.state(), bench.families)) for example in EXAMPLES}
    assert len(identities) == len(EXAMPLES)


def test_the_barrier_example_joins_two_networks_that_do_not_average(bench: ZooBench) -> None:
    example = next(one for one in EXAMPLES if one.path["kind"] == "between")
    state = parse_state(example.state(), bench.families)
    numbers = bench.accuracy(state, "validation", "full", lambda: False).numbers
    assert numbers["average"]["accuracy"] < numbers["average"]["references"]["base"] - 0.1


@pytest.mark.parametrize(
    ("index", "recipe", "said"),
    [
        ("version: 2\nexamples: []\n", RECIPE, "version 1"),
        ("version: 1\nexamples: 3\n", RECIPE, "examples are a list"),
        (GOOD.replace("title", "titel"), RECIPE, "titel"),
        (GOOD.replace("A merge.", "long " * 40), RECIPE, "sentence is text"),
        (GOOD.replace("one.yaml", "../one.yaml"), RECIPE, "beside the list"),
        (GOOD.replace("one.yaml", "none.yaml"), RECIPE, "exists"),
        (GOOD + GOOD.splitlines()[-1] + "\n", RECIPE, "stands once"),
        (GOOD, RECIPE.replace("task_arithmetic", "task_aritmetic"), "task_arithmetic"),
    ],
    ids=["version", "no list", "unknown key", "too long", "elsewhere", "missing file", "twice", "bad recipe"],
)
def test_a_bad_list_is_refused_in_words(tmp_path: Path, index: str, recipe: str, said: str) -> None:
    with pytest.raises(ExampleError) as caught:
        read_examples(folder_with(tmp_path, index, recipe))
    assert said in str(caught.value)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    index = GOOD.replace("title: One", "title: ''").replace("family: tiny", "family: 7")
    with pytest.raises(ExampleError) as caught:
        read_examples(folder_with(tmp_path, index))
    assert len(caught.value.problems) == 2


def test_an_example_is_measured_once_and_kept(scheduler: Scheduler) -> None:
    bench = PretendBench()
    gallery = Gallery(EXAMPLES, bench, scheduler)
    before = gallery.examples("ann", None)["examples"]
    assert all(row["numbers"] is None for row in before)
    first = asyncio.run(gallery.measure_example("ann", {"name": "ties"}))
    again = asyncio.run(gallery.measure_example("bob", {"name": "ties"}))
    assert first == again
    assert bench.computed == [("validation", "full")]
    after = {row["name"]: row["numbers"] for row in gallery.examples("bob", {})["examples"]}
    assert after["ties"] == first["numbers"]
    assert after["lines"] is None
    low, high = after["ties"]["average"]["interval"]
    assert low <= after["ties"]["average"]["accuracy"] <= high


def test_an_example_of_checkpoints_that_are_not_here_is_left_out(scheduler: Scheduler) -> None:
    names = {row["name"] for row in Gallery(EXAMPLES, PretendBench(), scheduler).examples("ann", None)["examples"]}
    assert "ties" in names
    assert "strangers" not in names


def test_an_unknown_example_names_the_closest(scheduler: Scheduler) -> None:
    gallery = Gallery(EXAMPLES, PretendBench(), scheduler)
    answer = asyncio.run(gallery.measure_example("ann", {"name": "tie"}))
    assert answer["ok"] is False
    assert "ties" in answer["problems"][0]["sentence"]
    assert asyncio.run(gallery.measure_example("ann", {"name": 3}))["ok"] is False
