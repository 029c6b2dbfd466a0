"""The one loop: gradients, seeds, stopping and going on, and the recipe at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from merging_core.checkpoints import write_checkpoint
from merging_core.engines import make_plan
from merging_core.engines.streaming import stream_leaves, stream_merge
from merging_core.errors import BasinError, EvaluationError, PlanError
from merging_core.learning import Checked, Finished, Paused, Progress, Session, State, open_run
from merging_core.learning.batches import TaskBatches, rows_of_batch
from merging_core.learning.contract import Draw
from tests.engines.world import assert_same_bits
from tests.learning.world import CONFIG, World


def finished(session: Session) -> Finished:
    with session:
        *_, last = session.events()
    assert isinstance(last, Finished)
    return last


def test_the_gradient_by_a_coefficient_is_the_weights_gradient_along_the_task_vector(small: World) -> None:
    spec = small.spec(params={"per": "leaf"})
    with small.session(spec) as session:
        before = session.state.values["coefficients"].clone()
        weights = {name: leaf.double().requires_grad_() for name, leaf in session.weights().items()}
    total = torch.zeros((), dtype=torch.float64)
    for task in small.tasks:
        rows = rows_of_batch(len(task.splits["calibration"]), spec.batch, 0, spec.seed, task.name)
        inputs = task.pixels(task.splits["calibration"].images[rows]).double().flatten(1)
        hidden = (inputs @ weights["layers.0.weight"].T + weights["layers.0.bias"]).relu()
        shares = (hidden @ weights["layers.1.weight"].T + weights["layers.1.bias"]).softmax(1)
        total = total - (shares * shares.log()).sum(1).mean()
    names = list(weights)
    by_weights = dict(zip(names, torch.autograd.grad(total, [weights[name] for name in names]), strict=True))
    base, *experts = (small.catalog.open(ref) for ref in (small.base, *small.experts))
    expected = torch.zeros(len(base.leaves), len(experts), dtype=torch.float64)
    for row, name in enumerate(base.leaves):
        for column, expert in enumerate(experts):
            vector = expert.read(name).double() - base.read(name).double()
            expected[row, column] = (by_weights[name] * vector).sum()

    with small.session(small.spec(params={"per": "leaf", "rate": 1.0}, steps=1)) as session:
        learnable, values = session._learnable, {"coefficients": before.requires_grad_()}
        merged = learnable.merged(values, Draw(0))
        *_, gradient = session._batches.gradient(merged, 0)
        assert gradient is not None
        pairs = [(merged[name], leaf) for name, leaf in gradient.leaves.items()]
        (found,) = torch.autograd.grad([a for a, _ in pairs], [values["coefficients"]], [b for _, b in pairs])
    assert sum(gradient.losses) == pytest.approx(total.item(), rel=1e-5)
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["adamerging", "atlas"])
def test_a_seed_repeats_every_bit_and_another_seed_does_not(small: World, method: str) -> None:
    first, again, other = (
        finished(small.session(small.spec(method, seed=seed))).recipe.tensors for seed in (0, 0, 1)
    )  # fmt: skip
    assert first == again != other


def test_a_run_that_was_stopped_and_goes_on_ends_as_one_that_was_not(small: World, tmp_path: Path) -> None:
    spec = small.spec(steps=7, keep="objective")
    whole = finished(small.session(spec))
    asked = 0

    def heed() -> Literal["go", "pause"]:
        nonlocal asked
        asked += 1
        return "pause" if asked > 3 else "go"

    with small.session(spec) as session:
        for event in session.events(heed):
            if isinstance(event, Paused):
                assert event.step == 3
                session.state.save(tmp_path / "state.safetensors")
                break
    rest = finished(small.session(spec, State.load(tmp_path / "state.safetensors")))
    assert (rest.hash, rest.kept_step) == (whole.hash, whole.kept_step)
    assert rest.seconds > 0


def test_a_state_belongs_to_its_specification_and_its_models(small: World) -> None:
    with small.session(small.spec()) as session:
        state = session.state
    with pytest.raises(PlanError, match="its own specification"):
        small.session(small.spec(seed=5), state)
    moved = {name: small.catalog.open(small.base).read(name) + 1 for name in small.catalog.open(small.base).leaves}
    folder = Path(small.base.removeprefix("file:"))
    specs = list(small.catalog.open(small.base).leaves.values())
    write_checkpoint(folder, moved.items(), specs, CONFIG, overwrite=True)
    with pytest.raises(PlanError, match="models that it began with"):
        small.session(small.spec(), state)


@pytest.mark.parametrize(
    "params", [{}, {"vectors": "trimmed"}, {"vectors": "trimmed", "elect": False, "per": "task"}], ids=str
)
def test_a_finished_run_is_a_recipe_that_both_engines_carry_out_with_the_bits_that_were_trained(
    small: World, tmp_path: Path, params: dict[str, Any]
) -> None:
    with small.session(small.spec(params={"rate": 0.05, **params})) as session:
        *_, last = session.events()
        trained = session.weights()
    assert isinstance(last, Finished)
    plan = make_plan(last.recipe, small.catalog)
    assert plan.hash == last.hash
    live = small.engine().merge(last.recipe).weights
    assert_same_bits(live, trained)
    assert_same_bits(dict(stream_leaves(plan)), live)
    folder = stream_merge(plan, small.catalog, tmp_path / "merged")
    assert {path.name for path in folder.iterdir()} >= {"recipe.json", "recipe.tensors", "model.safetensors"}


def test_trimmed_vectors_keep_their_largest_elements_of_the_elected_sign(small: World) -> None:
    with small.session(small.spec(params={"vectors": "trimmed", "density": 0.5})) as session:
        vectors = torch.stack(session._learnable._ground.vectors)  # type: ignore[attr-defined]
    base, *experts = (small.catalog.open(ref) for ref in (small.base, *small.experts))
    raw = torch.stack(
        [torch.cat([(one.read(name) - base.read(name)).reshape(-1) for name in base.leaves]) for one in experts]
    )
    least = raw.abs().sort(dim=1, descending=True).values[:, raw.shape[1] // 2 - 1]
    trimmed = torch.where(raw.abs() >= least[:, None], raw, torch.zeros_like(raw))
    agrees = trimmed.sign() == trimmed.sum(0).sign()
    assert torch.equal(vectors, torch.where(agrees, trimmed, torch.zeros_like(trimmed)))


def test_events_say_what_happens_and_are_plain_values(small: World) -> None:
    with small.session(small.spec()) as session:
        events = list(session.events())
    checks = [event for event in events if isinstance(event, Checked)]
    assert [check.step for check in checks] == [0, 2, 4, 6]
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[0].step, progress[-1].step) == (0, 6)
    assert len(progress[-1].shown.coefficients) == 2
    assert len(progress[-1].shown.coefficients[0]) == 4
    document = progress[-1].as_json()
    assert document["loss"] == pytest.approx(sum(progress[-1].losses), rel=1e-4)
    assert events[-1].as_json()["kind"] == "finished"


def test_a_run_that_is_told_to_stop_keeps_what_it_has(small: World) -> None:
    with small.session(small.spec()) as session:
        *_, last = session.events(lambda: "stop")
    assert isinstance(last, Finished)
    assert (last.step, last.stopped) == (0, True)
    assert last.after.average == last.before.average


def test_learning_from_test_inputs_is_labelled_wherever_its_numbers_stand(small: World) -> None:
    with small.session(small.spec(split="test", steps=2)) as session:
        events = list(session.events())
    reports = [event.report for event in events if isinstance(event, Checked)]
    last = events[-1]
    assert isinstance(last, Finished)
    assert all(report.transductive for report in [*reports, last.before, last.after])
    assert (last.transductive, last.seen) == (True, False)


def test_labels_lower_the_cross_entropy_that_is_learned(small: World) -> None:
    with small.session(small.spec("atlas", {"rate": 0.05}, steps=40, batch=18)) as session:
        losses = [sum(event.losses) for event in session.events() if isinstance(event, Progress) and event.losses]
    assert losses[-1] < losses[0] or len(losses) == 1


def test_coefficients_stay_within_their_bounds_where_asked(small: World) -> None:
    with small.session(small.spec(params={"rate": 5.0, "clamp": True})) as session:
        list(session.events())
        found = session.state.values["coefficients"]
    assert 0.0 <= found.min() <= found.max() <= 1.0


def test_every_epoch_holds_each_example_once() -> None:
    drawn = torch.cat([rows_of_batch(10, 4, number, 3, "digits") for number in range(5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_the_gradient_is_the_same_for_any_number_of_workers(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with small.session(small.spec()) as session:
        weights = session.weights()
    found = []
    monkeypatch.setattr("merging_core.learning.batches.ROWS", 1)
    for cores in (1, 2):
        monkeypatch.setattr("merging_core.learning.batches.cores", lambda cores=cores: cores)
        batches = TaskBatches(CONFIG, weights, small.tasks, "calibration", "entropy", 4, 0)
        *_, gradient = batches.gradient(weights, 0)
        batches.close()
        assert gradient is not None
        found.append(gradient)
    assert found[0].losses == found[1].losses
    assert_same_bits(found[0].leaves, found[1].leaves)


def test_a_run_without_tasks_is_refused_in_a_sentence(small: World) -> None:
    with pytest.raises(EvaluationError, match="a task to learn from"):
        open_run(small.spec(), replace(small.bench(), tasks=()))


def test_a_file_that_is_no_state_is_refused_in_a_sentence(small: World) -> None:
    with pytest.raises(BasinError, match="state of a run"):
        State.load(Path(small.base.removeprefix("file:")) / "model.safetensors")


def test_a_run_that_does_not_fit_is_refused_before_anything_is_read(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merging_core.learning.session.available_memory", lambda: 1000)
    with pytest.raises(PlanError, match="fits the 1.0 kB of memory"):
        small.session(small.spec())
