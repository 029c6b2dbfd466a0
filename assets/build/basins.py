"""Small MLPs on the 8 × 8 digits: two that share a basin, two that do not, and the barriers between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, linear

from assets.build.randomness import torch_stream, uniform
from assets.build.scores import Score
from assets.build.settings import Settings
from assets.build.taskfiles import Split, Task

Leaves = dict[str, torch.Tensor]

RATE = 2e-3
BATCH = 64
POINTS = 25


def new_leaves(widths: list[int], generator: torch.Generator) -> Leaves:
    """Return He-initialised leaves `layers.i.weight` `[out, in]` and `layers.i.bias` `[out]`."""
    leaves: Leaves = {}
    for index, (inside, outside) in enumerate(zip(widths, widths[1:], strict=False)):
        leaves[f"layers.{index}.weight"] = torch.randn(outside, inside, generator=generator) * (2 / inside) ** 0.5
        leaves[f"layers.{index}.bias"] = torch.zeros(outside)
    return leaves


def forward(leaves: Leaves, inputs: torch.Tensor) -> torch.Tensor:
    """Return logits `[n, classes]` of inputs `[n, 64]`: linear layers with ReLU between them."""
    depth = len(leaves) // 2
    for index in range(depth):
        inputs = linear(inputs, leaves[f"layers.{index}.weight"], leaves[f"layers.{index}.bias"])
        if index + 1 < depth:
            inputs = inputs.relu()
    return inputs


def prepare(images: torch.Tensor, task: Task) -> torch.Tensor:
    """Turn 8-bit images `[n, 8, 8]` into inputs `[n, 64]`."""
    mean, std = float(str(task.info["mean"])), float(str(task.info["std"]))
    return ((images.float() / 255 - mean) / std).flatten(1)


def train(leaves: Leaves, task: Task, steps: int, settings: Settings, stream: str, noise: float) -> Leaves:
    """Return leaves trained further with Adam at a rate that falls to nothing; order and noise come from `stream`."""
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in leaves.items()}
    optimiser = torch.optim.Adam(list(parameters.values()), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    split = task.splits["train"]
    inputs = prepare(split.images, task)
    generator = torch_stream(settings.seed, "basins", stream)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (BATCH,), generator=generator)
        scale = uniform(generator, 1 - noise, 1 + noise, BATCH, 1)
        noisy = inputs[rows] * scale + noise * torch.randn((BATCH, inputs.shape[1]), generator=generator)
        loss = cross_entropy(forward(parameters, noisy), split.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return {name: tensor.detach() for name, tensor in parameters.items()}


def train_all(task: Task, settings: Settings) -> dict[str, Leaves]:
    """Train the five models of the family."""
    widths = [64, *settings.basin_hidden, 10]

    def fresh(name: str) -> Leaves:
        return new_leaves(widths, torch_stream(settings.seed, "basins", name, "init"))

    start = train(fresh("start"), task, settings.basin_start_steps, settings, "start", 0.1)
    steps = settings.basin_steps
    return {
        "start": start,
        "left": train(start, task, steps, settings, "left", 0.1),
        "right": train(start, task, steps, settings, "right", 0.3),
        "stranger-1": train(fresh("stranger-1"), task, steps, settings, "stranger-1", 0.1),
        "stranger-2": train(fresh("stranger-2"), task, steps, settings, "stranger-2", 0.1),
    }


def score_leaves(leaves: Leaves, task: Task, split: str) -> Score:
    """Score an MLP on a labelled split."""
    part = task.splits[split]
    guesses = forward(leaves, prepare(part.images, task)).argmax(1)
    return Score(int((guesses == part.labels).sum()), len(part.labels))


@dataclass(frozen=True)
class Curve:
    """Loss and error at POINTS even places from one model to another."""

    losses: tuple[float, ...]
    errors: tuple[float, ...]

    def barrier(self, values: tuple[float, ...]) -> tuple[float, float]:
        """Return max over t of L(t) − [(1−t)·L(0) + t·L(1)] on the grid, and its t; never below 0, as t = 0 gives 0."""
        last = len(values) - 1
        gaps = [value - ((1 - i / last) * values[0] + i / last * values[-1]) for i, value in enumerate(values)]
        top = max(range(len(gaps)), key=gaps.__getitem__)
        return gaps[top], top / last

    def as_json(self) -> dict[str, float]:
        """Return the loss barrier, where it lies, the error barrier, and the loss at the ends and in the middle."""
        loss, place = self.barrier(self.losses)
        error, _ = self.barrier(self.errors)
        middle = self.losses[len(self.losses) // 2]
        values = {"loss_barrier": loss, "at": place, "error_barrier": error, "loss_first": self.losses[0],
                  "loss_middle": middle, "loss_last": self.losses[-1]}  # fmt: skip
        return {key: round(value, 6) for key, value in values.items()}


@torch.no_grad()
def curve(first: Leaves, last: Leaves, part: Split, task: Task) -> Curve:
    """Evaluate the straight line between two models in float32 weights, with the loss summed in float64."""
    inputs = prepare(part.images, task)
    losses, errors = [], []
    for index in range(POINTS):
        t = index / (POINTS - 1)
        logits = forward({name: torch.lerp(first[name], last[name], t) for name in first}, inputs)
        losses.append(float(cross_entropy(logits.double(), part.labels)))
        errors.append(float((logits.argmax(1) != part.labels).double().mean()))
    return Curve(tuple(losses), tuple(errors))


def barriers(models: dict[str, Leaves], task: Task) -> list[dict[str, object]]:
    """Return the barriers of every pair of experts on train and validation."""
    names = [name for name in models if name != "start"]
    rows: list[dict[str, object]] = []
    for index, first in enumerate(names):
        for last in names[index + 1 :]:
            row: dict[str, object] = {"between": [f"zoo:basins/{first}", f"zoo:basins/{last}"], "points": POINTS}
            for split in ("train", "validation"):
                row[split] = curve(models[first], models[last], task.splits[split], task).as_json()
            rows.append(row)
    return rows
