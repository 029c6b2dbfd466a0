"""Training an expert: the steps against float64, what moves, what is written, and going on where it stopped."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch.nn.functional import cross_entropy

from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import PlanError, RecipeError
from merging_core.evaluation.evaluator import Evaluator
from merging_core.learning import Checked, LearnSpec, Paused, Progress, State, Trained, open_run, parse_spec
from merging_core.learning.batches import rows_of_batch
from merging_core.learning.experts.training import Training
from tests.engines.world import write
from tests.learning.world import CONFIG, World

AVERAGES: dict[str, dict[str, Any]] = {
    "none": {},
    "swa": {"swa_start": 0.3, "swa_every": 1},
    "swad": {"swad_converged": 1, "swad_overfit": 2},
    "ema": {"ema_decay": 0.7},
    "lawa": {"lawa_every": 1, "lawa_last": 3},
    "swag": {"swag_start": 0.0, "swag_every": 1, "swag_rank": 3},
    "twa": {"twa_every": 1, "twa_last": 3, "twa_share": 0.6},
    "papa": {"papa_members": 2, "papa_every": 2, "papa_keep": 0.5},
}


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(folder, Ref("file", folder.name))


def trained(small: World, spec: LearnSpec, folder: Path, state: State | None = None) -> Trained:
    with open_run(spec, small.bench(folder), state) as run:
        *_, last = run.events()
    assert isinstance(last, Trained)
    return last


def test_the_steps_are_those_of_adamw_on_the_cross_entropy_of_each_batch(small: World, tmp_path: Path) -> None:
    params = {"rate": 0.01, "warm_up": 3, "decay": 0.1, "clip": 0.2, "looks": "none"}
    spec = small.expert_spec(params, steps=5, batch=10)
    trained(small, spec, tmp_path / "expert")
    task, base = small.tasks[0], small.catalog.open(small.base)
    weights = {name: base.read(name).double().requires_grad_() for name in base.leaves}
    first, second = ({name: torch.zeros_like(leaf) for name, leaf in weights.items()} for _ in range(2))
    for step in range(5):
        rows = rows_of_batch(18, 10, step, 0, task.name)
        order = torch.tensor(task.splits["train"].order)[rows]
        inputs = task.pixels(task.splits["train"].images[order]).double().flatten(1)
        labels = task.splits["train"].labels
        assert labels is not None
        hidden = (inputs @ weights["layers.0.weight"].T + weights["layers.0.bias"]).relu()
        logits = hidden @ weights["layers.1.weight"].T + weights["layers.1.bias"]
        found = dict(
            zip(weights, torch.autograd.grad(cross_entropy(logits, labels[order]), list(weights.values())), strict=True)
        )
        length = math.sqrt(sum(float(gradient.square().sum()) for gradient in found.values()))
        rate = 0.01 * min(1.0, (step + 1) / 3) * 0.5 * (1 + math.cos(math.pi * step / 5))
        for name, leaf in weights.items():
            gradient = found[name] * min(1.0, 0.2 / length)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient.square()
            mean, square = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
            with torch.no_grad():
                leaf.mul_(1 - rate * 0.1).sub_(rate * mean / (square.sqrt() + 1e-8))
    made = opened(tmp_path / "expert")
    for name, leaf in weights.items():
        assert torch.allclose(made.read(name).double(), leaf, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("average", [*AVERAGES, "diff_pruning", "sara"])
def test_a_run_that_was_stopped_and_goes_on_makes_the_expert_of_one_that_was_not(
    small: World, tmp_path: Path, average: str
) -> None:
    own = {"average": average, **AVERAGES[average]} if average in AVERAGES else {"density": 0.3}
    method = {"name": "train_expert" if average in AVERAGES else average, "params": {"rate": 0.05, **own}}
    spec = small.expert_spec(method=method, steps=8, keep="loss")
    whole = trained(small, spec, tmp_path / "whole")
    asked = 0

    def heed() -> Literal["go", "pause"]:
        nonlocal asked
        asked += 1
        return "pause" if asked > 5 else "go"

    with open_run(spec, small.bench(tmp_path / "parts")) as run:
        for event in run.events(heed):
            if isinstance(event, Paused):
                run.state.save(tmp_path / "state.safetensors")
                break
    rest = trained(small, spec, tmp_path / "parts", State.load(tmp_path / "state.safetensors"))
    assert (rest.digest, rest.kept_step, rest.after.average) == (whole.digest, whole.kept_step, whole.after.average)
    assert (rest.plain is None) == (average in ("none", "diff_pruning", "sara"))
    if rest.plain is not None and whole.plain is not None:
        assert rest.plain.loss == whole.plain.loss


def test_the_expert_is_a_folder_that_can_be_merged_and_says_how_it_was_trained(small: World, tmp_path: Path) -> None:
    spec = small.expert_spec({"rate": 0.05, "average": "swa"}, steps=4)
    ended = trained(small, spec, tmp_path / "expert")
    made, base = opened(ended.folder), small.catalog.open(small.base)
    assert made.content() == ended.digest
    assert made.config == base.config
    recipe = small.spec(models=[f"file:{ended.folder}"]).recipe()
    merged = small.engine().merge(replace(recipe, lambda_=1.0)).weights
    leaves = {name: made.read(name) for name in made.leaves}
    assert all(torch.allclose(merged[name], leaf, atol=1e-6) for name, leaf in leaves.items())
    report = Evaluator("cpu", workers=1).evaluate(CONFIG, leaves, small.tasks[:1])
    assert report.loss == ended.after.loss
    card = (ended.folder / "README.md").read_text(encoding="utf-8")
    assert "| steps | 4 of 4 |" in card
    assert "without the average" in card
    assert str(tmp_path) not in card
    assert ended.as_json()["kind"] == "trained"
    assert str(tmp_path) not in str(ended.as_json())


def test_what_does_not_move_keeps_the_bits_of_the_base(small: World, tmp_path: Path) -> None:
    trained(small, small.expert_spec({"rate": 0.05, "moves": "norms_and_biases"}), tmp_path / "expert")
    made, base = opened(tmp_path / "expert"), small.catalog.open(small.base)
    moved = [name for name in base.leaves if not torch.equal(made.read(name), base.read(name))]
    assert moved == ["layers.0.bias", "layers.1.bias"]
    with pytest.raises(PlanError, match="some leaf moves"):
        open_run(small.expert_spec({"moves": "attention"}), small.bench(tmp_path / "other"))


def test_the_expert_has_the_dtypes_of_its_base_and_the_numbers_of_its_file(small: World, tmp_path: Path) -> None:
    base = small.catalog.open(small.base)
    ref = write(tmp_path / "half", {name: base.read(name).bfloat16() for name in base.leaves}, CONFIG)
    ended = trained(small, small.expert_spec({"rate": 0.05}, base=ref), tmp_path / "expert")
    made = opened(ended.folder)
    assert {leaf.dtype for leaf in made.leaves.values()} == {"BF16"}
    leaves = {name: made.read(name).float() for name in made.leaves}
    assert Evaluator("cpu", workers=1).evaluate(CONFIG, leaves, small.tasks[:1]).loss == ended.after.loss


def test_several_tasks_are_learned_from_at_once(small: World, tmp_path: Path) -> None:
    spec = small.expert_spec(
        {"rate": 0.03, "looks": "none"}, steps=30, batch=18, tasks=[one.name for one in small.tasks]
    )
    with open_run(spec, replace(small.bench(tmp_path / "expert"), tasks=small.tasks)) as run:
        assert isinstance(list(run.events())[-1], Trained)
    before, after = (
        Evaluator("cpu", workers=1).evaluate(
            CONFIG, {name: one.read(name) for name in one.leaves}, small.tasks, "train"
        )
        for one in (small.catalog.open(small.base), opened(tmp_path / "expert"))
    )
    assert all(last.loss < first.loss for first, last in zip(before.tasks, after.tasks, strict=True))


def test_the_loss_falls_and_the_best_check_is_kept(small: World, tmp_path: Path) -> None:
    spec = small.expert_spec({"rate": 0.03, "schedule": "constant", "looks": "none"}, steps=40, batch=18, keep="loss")
    with open_run(spec, small.bench(tmp_path / "expert")) as run:
        events = list(run.events())
    losses = [event.loss for event in events if isinstance(event, Progress) and event.step == 40]
    checks = [event for event in events if isinstance(event, Checked)]
    last = events[-1]
    assert isinstance(last, Trained)
    assert losses[-1] is not None
    assert losses[-1] < 0.7 * math.log(3)
    best = min(checks, key=lambda check: (check.report.loss, -check.step))
    assert (last.kept_step, last.after.loss) == (best.step, best.report.loss)
    assert last.chosen_by == "validation"


def test_a_population_trains_its_members_on_batches_of_their_own_and_may_put_their_mean_in_all(
    small: World, tmp_path: Path
) -> None:
    params = {"average": "papa", "papa_members": 3, "papa_every": 2, "papa_keep": 0.0, "rate": 0.05}
    with open_run(small.expert_spec(params, steps=3), small.bench(tmp_path / "expert")) as run:
        assert isinstance(run, Training)
        members = []
        for event in run.events():
            if isinstance(event, Checked):
                members.append([run.state.values[f"weights/{number}"] for number in range(3)])
    start, pulled, apart = members
    assert torch.equal(start[0], start[2])
    assert torch.allclose(pulled[0], pulled[2], atol=1e-7)
    assert not torch.allclose(pulled[0], start[0], atol=1e-3)
    assert not torch.allclose(apart[0], apart[2], atol=1e-3)


def test_a_batch_that_is_divided_between_workers_has_the_gradient_of_the_whole(
    small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for rows in (48, 5):
        monkeypatch.setattr("merging_core.learning.batches.ROWS", rows)
        ended = trained(small, small.expert_spec({"rate": 0.05}, batch=12), tmp_path / str(rows))
        found.append(
            torch.cat([opened(ended.folder).read(name).reshape(-1) for name in small.catalog.open(small.base).leaves])
        )
    assert torch.allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"models": ["zoo:tiny/digits"]}, "models"),
        ({"tasks": []}, "tasks"),
        ({"base": "tiny"}, "base"),
        ({"split": "test"}, "spec.split"),
        ({"method": {"name": "train_expert", "params": {"average": "ema", "swa_every": 3}}}, "method.params.swa_every"),
    ],
)
def test_what_an_expert_cannot_be_trained_with_is_named_with_its_place(changes: dict[str, Any], where: str) -> None:
    given = {"version": 1, "method": {"name": "train_expert"}, "base": "zoo:tiny/base", "tasks": ["tiny/digits"]}
    with pytest.raises(RecipeError) as caught:
        parse_spec({**given, **changes})
    assert where in [problem.where for problem in caught.value.problems]


def test_a_folder_that_is_taken_and_too_little_memory_are_refused_at_once(
    small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "expert").mkdir()
    with pytest.raises(PlanError, match="not there yet"):
        open_run(small.expert_spec(), small.bench(tmp_path / "expert"))
    monkeypatch.setattr("merging_core.learning.session.available_memory", lambda: 1000)
    with pytest.raises(PlanError, match="fits the 1.0 kB of memory"):
        open_run(small.expert_spec(), small.bench(tmp_path / "other"))
