"""Learning under attack: the gradient at the worst pictures, mixtures, and robust numbers at the end."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch.nn.functional import cross_entropy

from merging_core.errors import EvaluationError
from merging_core.evaluation.evaluator import parts_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tasks import Split, Task
from merging_core.learning import Finished, Paused, State, Trained, open_run
from merging_core.learning.attacks import Attack
from merging_core.learning.batches import Gradient, TaskBatches, rows_of_batch
from merging_core.learning.robustness import robust_report
from tests.learning.world import CONFIG, World

LINEAR: dict[str, Any] = {
    "model_type": "basin_mlp", "input_size": 16, "hidden_sizes": [], "num_labels": 2, "activation": "relu",
}  # fmt: skip
PARAMS = {"against": "linf", "linf": 0.02, "attack_steps": 2, "attack_step": 1.0}


@pytest.fixture
def pictures() -> Task:
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, (30, 1, 4, 4), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.randint(0, 2, (30,), generator=generator), "pictures")
    return Task(
        "small/pictures", "Pictures", "Noise.", ("a", "b"), 4, 1, 0.5, 0.25, OwnHead(), {"train": split},
        "Apache-2.0", "drawn",
    )  # fmt: skip


def leaves() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return {
        "layers.0.bias": torch.randn(2, generator=generator),
        "layers.0.weight": torch.randn(2, 16, generator=generator),
    }


def gradient(task: Task, attacks: tuple[Attack | None, ...], size: int = 12) -> Gradient:
    weights = leaves()
    batches = TaskBatches(LINEAR, weights, [task], "train", "cross_entropy", size, 5, attacks=attacks)
    *_, found = batches.gradient(weights, 0)
    batches.close()
    assert found is not None
    return found


def test_the_gradient_is_taken_at_the_pictures_that_are_worst_for_a_linear_model(pictures: Task) -> None:
    found = gradient(pictures, (Attack("linf", 0.1, 5),))
    split = pictures.splits["train"]
    assert split.labels is not None
    places = torch.tensor(split.order)[rows_of_batch(30, 12, 0, 5, pictures.name)]
    labels = split.labels[places]
    weights = {name: leaf.double().requires_grad_() for name, leaf in leaves().items()}
    away = (weights["layers.0.weight"][1 - labels] - weights["layers.0.weight"][labels]).detach()
    worst = (split.images[places].double().flatten(1) / 255 + 0.1 * away.sign()).clamp(0, 1)
    loss = cross_entropy((worst - 0.5) / 0.25 @ weights["layers.0.weight"].T + weights["layers.0.bias"], labels)
    assert found.losses == pytest.approx((loss.item(),), rel=1e-5)
    expected = torch.autograd.grad(loss, list(weights.values()))
    for name, one in zip(weights, expected, strict=True):
        assert torch.allclose(found.leaves[name].double(), one, rtol=1e-4, atol=1e-6)


def test_a_mixture_is_the_mean_of_its_parts(pictures: Task) -> None:
    attacks = (None, Attack("linf", 0.1, 5), Attack("l2", 0.3, 5))
    mixture = gradient(pictures, attacks)
    parts = [gradient(pictures, (attack,)) for attack in attacks]
    assert mixture.losses == pytest.approx((sum(part.losses[0] for part in parts) / 3,), rel=1e-5)
    assert parts[0].losses < parts[1].losses
    for name, leaf in mixture.leaves.items():
        mean = torch.stack([part.leaves[name].double() for part in parts]).mean(0)
        assert torch.allclose(leaf.double(), mean, rtol=1e-4, atol=1e-6)


def test_what_has_no_pixels_is_not_learned_from_under_attack(pictures: Task) -> None:
    class Text:
        name = "small/text"

    with pytest.raises(EvaluationError, match="small/text: a task under attack is one of pictures"):
        TaskBatches(LINEAR, leaves(), [Text()], "train", "cross_entropy", 4, 0, attacks=(Attack("l2", 1.0, 1),))  # type: ignore[list-item]


def test_a_soup_that_is_learned_under_attack_says_how_it_does_under_it(small: World) -> None:
    with open_run(small.spec("learned_soup", {**PARAMS, "against": "mixture", "l2": 0.1}), small.bench()) as run:
        *_, last = run.events()
    assert isinstance(last, Finished)
    assert [after.attack.norm for _, after in last.robust] == ["linf", "l2"]
    weights = small.engine().merge(last.recipe).weights
    parts = parts_of(small.tasks, "validation", "full")
    for _, after in last.robust:
        again = robust_report(CONFIG, weights, parts, after.attack)
        assert again.report.average == after.report.average <= last.after.average


def test_an_expert_that_is_trained_under_attack_goes_on_to_the_same_bits(small: World, tmp_path: Any) -> None:
    spec = small.spec("train_expert", PARAMS, models=[], tasks=[small.tasks[0].name], steps=5)
    asked = 0

    def heed() -> Literal["go", "pause"]:
        nonlocal asked
        asked += 1
        return "pause" if asked > 3 else "go"

    def ended(name: str, state: State | None = None) -> Trained:
        with open_run(spec, small.bench(tmp_path / name), state) as run:
            *_, last = run.events()
        assert isinstance(last, Trained)
        return last

    whole = ended("whole")
    with open_run(spec, small.bench(tmp_path / "part"), None) as run:
        next(event for event in run.events(heed) if isinstance(event, Paused))
        run.state.save(tmp_path / "state.safetensors")
    assert ended("part", State.load(tmp_path / "state.safetensors")).digest == whole.digest
    assert [after.attack for _, after in whole.robust] == [Attack("linf", 0.02, 2, step=0.02)]
    card = (tmp_path / "whole" / "README.md").read_text(encoding="utf-8")
    assert "Right before and after an ℓ∞ attack, ε 0.02, 2 steps of 0.02: " in card
    plain = small.spec("train_expert", models=[], tasks=[small.tasks[0].name], steps=5)
    with open_run(plain, small.bench(tmp_path / "plain")) as run:
        *_, last = run.events()
    assert isinstance(last, Trained)
    assert last.robust == ()
    assert last.digest != whole.digest
