"""The greedy soup, against one that is made by hand with the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from merging_core.engines import make_plan
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import EvaluationError, RecipeError
from merging_core.learning import Finished, Paused, State, Tried, open_run
from tests.engines.world import assert_same_bits, write
from tests.learning.world import CONFIG, World, world


@pytest.fixture
def four(tmp_path: Path) -> World:
    return world(tmp_path, experts=4)


def ran(world: World, params: dict[str, Any] | None = None, **changes: Any) -> tuple[list[Tried], Finished]:
    with open_run(world.spec("greedy_soup", params, steps=64, batch=4096, **changes), world.bench()) as run:
        events = list(run.events())
    last = events[-1]
    assert isinstance(last, Finished)
    return [event for event in events if isinstance(event, Tried)], last


def right(world: World, members: list[int], part: slice, split: str = "validation") -> list[numpy.ndarray]:
    """Say for each task which examples the float64 average of members answers right."""
    opened = [world.catalog.open(world.experts[member]) for member in members]
    leaves = {
        name: torch.stack([one.read(name).double() for one in opened]).mean(0) for name in opened[0].leaves
    }  # fmt: skip
    found = []
    for task in world.tasks:
        order = torch.tensor(task.splits[split].order)[part]
        inputs = task.pixels(task.splits[split].images[order]).double().flatten(1)
        hidden = (inputs @ leaves["layers.0.weight"].T + leaves["layers.0.bias"]).relu()
        logits = hidden @ leaves["layers.1.weight"].T + leaves["layers.1.bias"]
        found.append((logits.argmax(1) == task.labels(split)[order]).numpy())
    return found


def average(right: list[numpy.ndarray]) -> float:
    return float(numpy.mean([one.mean() for one in right]))


@pytest.mark.parametrize("accept", ["not worse", "better"])
def test_it_takes_what_a_greedy_soup_by_hand_takes(four: World, accept: str) -> None:
    tried, last = ran(four, {"accept": accept})
    chooses = slice(0, 7)
    alone = [average(right(four, [member], chooses)) for member in range(4)]
    order = sorted(range(4), key=lambda member: -alone[member])
    members = [order[0]]
    best = alone[order[0]]
    expected = [True]
    for member in order[1:]:
        value = average(right(four, [*members, member], chooses))
        stays = value > best if accept == "better" else value >= best
        expected.append(stays)
        if stays:
            members, best = [*members, member], value
    assert [event.what for event in tried] == [four.experts[member] for member in order]
    assert [event.best for event in tried] == expected
    assert [entry.ref for entry in last.recipe.models] == [four.experts[member] for member in sorted(members)]
    assert last.recipe.method.name == "uniform_soup"
    assert last.after.average == pytest.approx(average(right(four, sorted(members), slice(7, 15))))
    assert last.before.average == pytest.approx(average(right(four, [order[0]], slice(7, 15))))


def test_examples_that_choose_are_not_shown(four: World) -> None:
    tried, last = ran(four)
    for task in range(4):
        chose = set(tried[0].report.tasks[task].examples.tolist())
        shown = set(last.after.tasks[task].examples.tolist())
        assert not chose & shown
        assert len(chose | shown) == 15
    assert last.chosen_by == "28 examples of the first half of validation"
    tried, last = ran(four, split="train")
    assert (tried[0].report.split, last.after.split, last.after.n) == ("train", "validation", 60)
    assert last.chosen_by == "72 examples of the train split"


def test_each_trial_says_the_paired_difference_to_the_soup_before(four: World) -> None:
    tried, _ = ran(four, {"order": "given"})
    assert [event.what for event in tried] == list(four.experts)
    assert tried[0].difference is None
    kept = [0]
    for place, event in enumerate(tried[1:], 1):
        value = average(right(four, [*kept, place], slice(0, 7))) - average(right(four, kept, slice(0, 7)))
        assert event.difference is not None
        assert event.difference.value == pytest.approx(value)
        assert event.difference.interval[0] <= value <= event.difference.interval[1]
        assert event.shares == tuple(1 / (len(kept) + 1) if at in (*kept, place) else 0.0 for at in range(4))
        kept += [place] if event.best else []


def test_a_stopped_run_goes_on_to_the_same_soup(four: World, tmp_path: Path) -> None:
    spec = four.spec("greedy_soup", steps=64, batch=4096)
    with open_run(spec, four.bench()) as run:
        *_, whole = run.events()
    for pause_at in (2, 6):
        asked = 0

        def heed(pause_at: int = pause_at) -> Literal["go", "pause"]:
            nonlocal asked
            asked += 1
            return "pause" if asked > pause_at else "go"

        with open_run(spec, four.bench()) as run:
            next(event for event in run.events(heed) if isinstance(event, Paused))
            run.state.save(tmp_path / "state.safetensors")
        with open_run(spec, four.bench(), State.load(tmp_path / "state.safetensors")) as run:
            assert run.state.step == pause_at
            *_, last = run.events()
        assert isinstance(whole, Finished)
        assert isinstance(last, Finished)
        assert (last.hash, last.kept_step) == (whole.hash, whole.kept_step)


def test_stopped_at_once_it_keeps_what_is_known(four: World) -> None:
    with open_run(four.spec("greedy_soup", steps=2), four.bench()) as run:
        assert run.steps == 6
        *_, last = run.events(lambda: "stop")
    assert isinstance(last, Finished)
    assert last.stopped
    assert [entry.ref for entry in last.recipe.models] == [four.experts[0]]


def test_the_soup_of_files_has_the_bits_that_were_measured(four: World) -> None:
    _, last = ran(four)
    leaves = dict(stream_leaves(make_plan(last.recipe, four.catalog)))
    assert_same_bits(four.engine().merge(last.recipe).weights, leaves)


def test_a_model_is_taken_once_and_a_task_has_enough_examples(four: World) -> None:
    with pytest.raises(RecipeError, match=r"models\[4\]"):
        four.spec("greedy_soup", models=[*four.experts, four.experts[0]])
    whole = four.tasks[0].splits["validation"]
    assert whole.labels is not None
    one = replace(whole, images=whole.images[:1], labels=whole.labels[:1])
    poor = replace(four.tasks[0], splits={"validation": one})
    with pytest.raises(EvaluationError, match="an example to choose by"):
        open_run(four.spec("greedy_soup"), replace(four.bench(), tasks=(poor, *four.tasks[1:])))


def test_a_lora_adapter_is_a_model_of_the_soup_with_the_base_that_it_is_added_to(four: World, tmp_path: Path) -> None:
    folder, made = tmp_path / "lora", torch.Generator().manual_seed(2)
    folder.mkdir()
    a, b = torch.randn(2, 16, generator=made), torch.randn(6, 2, generator=made)
    layer = "base_model.model.layers.0.lora_"
    save_file({f"{layer}A.weight": a, f"{layer}B.weight": b}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2}')
    base = load_file(tmp_path / "base" / "model.safetensors")
    weight = "layers.0.weight"
    whole = write(
        tmp_path / "whole", {**base, weight: (base[weight].double() + b.double() @ a.double()).float()}, CONFIG
    )
    runs = []
    for model in (f"file:{folder}", whole):
        world = replace(four, experts=(model, *four.experts[:2]))
        tried, last = ran(world)
        runs.append(([(event.report.average, event.best) for event in tried], last.after.average, last.before.average))
    assert runs[0] == runs[1]
