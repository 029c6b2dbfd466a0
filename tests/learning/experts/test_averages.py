"""Averages over a trajectory: those of the merge methods of the same names, and closed forms for the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from merging_core.learning.contract import Draw, Values
from merging_core.learning.experts.averages import Average
from merging_core.learning.experts.methods import TRAIN_EXPERT
from merging_core.learning.experts.spans import normal, orthonormal
from merging_core.learning.experts.trajectories import average_of
from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters, check_parameters
from merging_core.methods.trajectories import EMA, LAWA, SWA, SWAD

STEPS, SIZE = 23, 5


def average(kind: str, **own: Any) -> Average:
    given = {"average": kind, **{f"{kind}_{name}": value for name, value in own.items()}}
    values, problems = check_parameters(given, TRAIN_EXPERT.parameters, "params")
    assert problems == ()
    return average_of(Parameters(values), 3)


def points(seed: int = 0, steps: int = STEPS) -> torch.Tensor:
    return torch.randn((steps + 1, SIZE), generator=torch.Generator().manual_seed(seed))


def followed(kind: Average, trajectory: torch.Tensor, losses: Sequence[float] = (), every: int = 1) -> Values:
    values: Values = {name: trajectory[0].clone() for name in kind.members}
    values |= kind.start(trajectory[0])
    for step in range(1, len(trajectory)):
        values["weights"] = trajectory[step]
        kind.stepped_(values, step, len(trajectory) - 1)
        if losses and step % every == 0:
            kind.heard_(values, losses[step // every - 1])
    return values


@pytest.mark.parametrize(
    ("kind", "own", "method", "params", "first"),
    [
        ("swa", {"start": 0.5, "every": 1}, SWA, {"start": 11, "every": 1}, 1),
        ("swa", {"start": 0.25, "every": 4}, SWA, {"start": 8, "every": 4}, 1),
        ("ema", {"decay": 0.8, "start_at": "zero"}, EMA, {"decay": 0.8, "start_at": "zero"}, 1),
        ("ema", {"decay": 0.8, "start_at": "first"}, EMA, {"decay": 0.8, "start_at": "first"}, 0),
        ("lawa", {"last": 6, "every": 1}, LAWA, {"last": 6}, 1),
        ("lawa", {"last": 64, "every": 1}, LAWA, {"last": 64}, 1),
    ],
    ids=["swa", "swa-every-4", "ema-from-zero", "ema-from-first", "lawa-6", "lawa-64"],
)
def test_an_average_kept_while_training_is_the_merge_of_the_checkpoints(
    kind: str, own: dict[str, Any], method: Any, params: dict[str, Any], first: int
) -> None:
    trajectory, made = points(), average(kind, **own)
    found = made.now(followed(made, trajectory))
    checkpoints = trajectory[first:]
    expected = method.combine(checkpoints, torch.ones(len(checkpoints)), CombineContext(Parameters(params)))
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["swa", "ema", "lawa", "swag", "twa", "papa", "swad"])
def test_before_the_first_checkpoint_the_expert_is_what_was_trained(kind: str) -> None:
    made = average(kind)
    start = points()[0]
    values = {name: start.clone() for name in made.members} | made.start(start)
    assert torch.allclose(made.now(values), start, atol=1e-7)


def window(losses: Sequence[float], converged: int, overfit: int, tolerance: float) -> tuple[int, int]:
    """Algorithm 1 of SWAD as it is printed, with checks counted from 1: the first and the last that count."""
    first, last, threshold = 1, len(losses), None
    for at in range(converged, len(losses) + 1):
        recent = losses[at - converged : at]
        if threshold is None:
            if recent[0] == min(recent):
                first, threshold = at - converged + 1, tolerance * sum(recent) / converged
        elif at >= overfit and threshold < min(losses[at - overfit : at]):
            last = at - overfit
            break
    return first, last


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("converged", "overfit"), [(1, 2), (3, 6), (4, 2)])
def test_the_window_of_swad_is_that_of_the_papers_algorithm(seed: int, converged: int, overfit: int) -> None:
    trajectory, every = points(seed, 36), 3
    noise = torch.rand(12, generator=torch.Generator().manual_seed(seed))
    losses = [1.0 / (at + 1) + 0.08 * at * (seed % 3) + 0.5 * float(noise[at]) for at in range(12)]
    made = average("swad", converged=converged, overfit=overfit, tolerance=1.1)
    found = made.now(followed(made, trajectory, losses, every))
    first, last = window(losses, converged, overfit, 1.1)
    steps = trajectory[1:]
    params = Parameters(start=(first - 1) * every, end=len(steps) - last * every)
    assert torch.allclose(found, SWAD.combine(steps, torch.ones(len(steps)), CombineContext(params)), atol=1e-6)


def test_a_sample_of_swag_has_the_papers_mean_and_covariance() -> None:
    trajectory = points(4, 9).double().float()
    made = average("swag", start=0.0, every=1, rank=4)
    values = followed(made, trajectory)
    steps = trajectory[1:].double()
    mean = steps.mean(0)
    rows = torch.stack([steps[at] - steps[: at + 1].mean(0) for at in range(len(steps))])[-4:]
    expected = 0.5 * (torch.diag(steps.square().mean(0) - mean.square()) + rows.T @ rows / 3)
    draws = torch.stack([average("swag", start=0.0, every=1, rank=4, draw=draw).now(values) for draw in range(1500)])
    assert torch.allclose(draws.double().mean(0), mean, atol=0.16)
    assert torch.allclose(draws.double().T.cov(), expected, atol=0.16)
    assert torch.allclose(average("swag", start=0.0, every=1, rank=4, scale=0.0).now(values).double(), mean, atol=1e-6)


def test_normal_numbers_have_the_moments_of_their_distribution() -> None:
    found = normal(0, 0, "w", 20_000)
    assert abs(float(found.mean())) < 0.03
    assert abs(float(found.std()) - 1.0) < 0.02
    assert abs(float((found.abs() < 1.0).double().mean()) - math.erf(1.0 / math.sqrt(2.0))) < 0.02


def test_a_trained_average_begins_at_the_mean_and_moves_along_the_projected_gradient() -> None:
    trajectory, made = points(2, 8), average("twa", every=1, last=3, share=0.75)
    values = followed(made, trajectory)
    held = trajectory[4:7].double()
    assert torch.allclose(made.now(values).double(), held.mean(0), atol=1e-6)
    target = points(9)[0].double()
    values["coefficients"].requires_grad_()
    weights = made.trained(values, Draw(6, phase=1))
    (found,) = torch.autograd.grad((weights - target.float()).square().sum(), [values["coefficients"]])
    moved = -0.1 * found.double() @ values["average/points"].double()
    gradient = 2 * (held.mean(0) - target)
    projector = torch.linalg.pinv(held) @ held
    assert torch.allclose(moved, -0.1 * projector @ gradient, atol=1e-5)


def test_a_basis_is_orthonormal_and_spans_the_points_even_when_they_almost_agree() -> None:
    rows = torch.ones(4, 50) + 1e-3 * torch.randn((4, 50), generator=torch.Generator().manual_seed(0))
    basis = orthonormal(rows).double()
    assert torch.allclose(basis @ basis.T, torch.eye(4, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(rows.double() @ basis.T @ basis, rows.double(), atol=1e-5)
