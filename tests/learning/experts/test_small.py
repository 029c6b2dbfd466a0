"""SaRA: which weights move, the nuclear norm's gradient, and the second choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.learning import Checked, Trained, open_run
from merging_core.learning.contract import Draw, Ground
from merging_core.learning.experts.small import SARA, SmallWeights, nuclear_norm, smallest
from merging_core.methods.info import Parameters, check_parameters
from merging_core.space.parameter_space import build_space
from tests.learning.world import World


def weights_of(small: World, **given: Any) -> SmallWeights:
    values, problems = check_parameters(given, SARA.parameters, "params")
    assert problems == ()
    base = small.catalog.open(small.base)
    space = build_space(None, [base])
    return SmallWeights(Ground(space, space.flat(base).double(), (), Parameters(values), 3))


def test_the_gradient_of_the_nuclear_norm_is_that_of_finite_differences() -> None:
    matrix = torch.randn((5, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    norm = nuclear_norm(matrix)
    assert norm.item() == pytest.approx(float(torch.linalg.svdvals(matrix.detach()).sum()))
    (found,) = torch.autograd.grad(norm, [matrix])
    step = 1e-6
    for place in range(15):
        ends = []
        for sign in (1.0, -1.0):
            moved = matrix.detach().clone()
            moved.view(-1)[place] += sign * step
            ends.append(float(torch.linalg.svdvals(moved).sum()))
        assert float(found.reshape(-1)[place]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)


def test_the_penalty_of_a_step_is_on_average_the_sum_over_all_matrices(small: World) -> None:
    made = weights_of(small, density=0.5, rank_penalty=2.0)
    values = made.start()
    chosen = torch.zeros(len(made.start_weights), dtype=torch.float64).index_copy(0, made.places, values["weights"])
    leaves = made.ground.space.leaves
    norms = [
        float(torch.linalg.svdvals(chosen[leaf.start : leaf.stop].view(leaf.shape)).sum())
        for leaf in leaves
        if len(leaf.shape) == 2
    ]
    found = [float(made.penalty(values, Draw(step)) or 0.0) for step in range(300)]
    assert {round(one, 6) for one in found} == {round(2.0 * len(norms) * norm, 6) for norm in norms}
    assert sum(found) / len(found) == pytest.approx(2.0 * sum(norms), rel=0.1)


def test_the_smallest_weights_are_chosen_by_share_or_by_threshold() -> None:
    weights = torch.tensor([0.5, -0.1, 0.2, -0.05, 0.3])
    places, size = smallest(weights, Parameters(choose="density", density=0.4))
    assert (places.tolist(), size) == ([1, 3], pytest.approx(0.1))
    assert smallest(weights, Parameters(choose="threshold", threshold=0.25))[0].tolist() == [1, 2, 3]
    assert smallest(weights, Parameters(choose="threshold", threshold=0.2))[0].tolist() == [1, 3]


def test_only_the_smallest_weights_move_and_later_only_those_that_are_small_still(small: World, tmp_path: Path) -> None:
    params = {"density": 0.4, "rate": 0.2, "warm_up": 0, "rank_penalty": 0.01, "schedule": "constant"}
    spec = small.expert_spec(steps=8, method={"name": "sara", "params": params}, check={"every": 4})
    with open_run(spec, small.bench(tmp_path / "expert")) as run:
        states = []
        for event in run.events():
            if isinstance(event, Checked):
                states.append(run.state.values)
    assert isinstance(event, Trained)
    base, made = small.catalog.open(small.base), small.catalog.open(f"file:{tmp_path / 'expert'}")
    flat, moved = (torch.cat([one.read(name).reshape(-1) for name in base.leaves]) for one in (base, made))
    limit = flat.abs().sort().values[round(0.4 * len(flat)) - 1]
    assert torch.equal(flat[flat.abs() > limit], moved[flat.abs() > limit])
    assert bool((flat != moved)[flat.abs() <= limit].any())
    middle, end = states[1], states[2]
    still = middle["weights"].abs() <= limit
    assert torch.equal(middle["kept"] > 0, still)
    assert 0 < int(still.sum()) < len(still)
    assert torch.equal(end["weights"][~still], middle["weights"][~still])
    assert not torch.equal(end["weights"][still], middle["weights"][still])


def test_no_small_weight_is_an_expert_that_is_the_base(small: World, tmp_path: Path) -> None:
    params = {"choose": "threshold", "threshold": 1e-9, "rank_penalty": 0.0}
    spec = small.expert_spec(steps=2, method={"name": "sara", "params": params})
    with open_run(spec, small.bench(tmp_path / "expert")) as run:
        *_, last = run.events()
    assert isinstance(last, Trained)
    assert last.digest == small.catalog.open(small.base).content()
