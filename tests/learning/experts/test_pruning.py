"""Diff pruning: gradients against differences, the mask's limits, and that the density reached is the one asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.learning import Trained, open_run
from merging_core.learning.contract import Draw, Ground, Values
from merging_core.learning.experts.hard_concrete import hard_concrete, kept_probability, typical
from merging_core.learning.experts.pruning import DIFF_PRUNING, PrunedWeights, largest
from merging_core.methods.info import Parameters, check_parameters
from merging_core.space.parameter_space import build_space
from tests.learning.world import World


def pruned(small: World, **given: Any) -> PrunedWeights:
    values, problems = check_parameters(given, DIFF_PRUNING.parameters, "params")
    assert problems == ()
    base = small.catalog.open(small.base)
    space = build_space(None, [base])
    return PrunedWeights(Ground(space, space.flat(base).double(), (), Parameters(values), 3))


def drawn(made: PrunedWeights, seed: int = 0) -> Values:
    generator = torch.Generator().manual_seed(seed)
    values = made.start()
    for name in ("change", "logits", "groups"):
        if name in values:
            values[name] = torch.randn(values[name].shape, generator=generator, dtype=torch.float64)
    return values


@pytest.mark.parametrize("groups", ["leaf", "none"])
def test_gradients_by_vector_and_mask_are_those_of_finite_differences(small: World, groups: str) -> None:
    made = pruned(small, groups=groups, penalty=2.0)
    values = drawn(made)
    weight = torch.randn(len(values["change"]), generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def loss(values: Values) -> torch.Tensor:
        merged = made.merged(values, Draw(4))
        flat = torch.cat([merged[leaf.name].reshape(-1) for leaf in made.leaves])
        penalty = made.penalty(values, Draw(4))
        assert penalty is not None
        return (flat * weight).sin().sum() + penalty

    names = [name for name in ("change", "logits", "groups") if name in values]
    tracked = {name: value.clone().requires_grad_(name in names) for name, value in values.items()}
    founds = torch.autograd.grad(loss(tracked), [tracked[name] for name in names])
    step = 1e-6
    for name, found in zip(names, founds, strict=True):
        for place in range(0, len(found), max(1, len(found) // 12)):
            ends = []
            for sign in (1.0, -1.0):
                moved = {**values, name: values[name].clone()}
                moved[name][place] += sign * step
                ends.append(float(loss(moved)))
            assert float(found[place]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)


def test_a_mask_is_zero_or_one_with_the_probability_that_its_stretched_coin_says() -> None:
    chance = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    for logit in (-2.0, 0.0, 1.5):
        mask = hard_concrete(torch.full_like(chance, logit), chance)
        assert float((mask > 0).double().mean()) == pytest.approx(
            float(kept_probability(torch.tensor(logit))), abs=1e-3
        )
        assert 0.0 < float((mask == 1.0).double().mean()) < 1.0
    ends = hard_concrete(torch.tensor([30.0, -30.0]), torch.tensor([0.5, 0.5]))
    assert ends.tolist() == typical(torch.tensor([30.0, -30.0])).tolist() == [1.0, 0.0]


def test_with_all_masks_at_one_a_step_trains_the_whole_vector(small: World) -> None:
    made = pruned(small, logit=20.0)
    values = drawn(made) | {name: torch.full_like(made.start()[name], 20.0) for name in ("logits", "groups")}
    merged = made.merged(values, Draw(0))
    flat = torch.cat([merged[leaf.name].reshape(-1) for leaf in made.leaves])
    assert torch.equal(flat, made.start_weights + values["change"])
    assert float(made.penalty(values, Draw(0)) or 0.0) == pytest.approx(10.0)


def test_the_penalty_is_the_expected_share_that_draws_keep(small: World) -> None:
    made = pruned(small, penalty=1.0)
    values = drawn(made)
    kept = [float((made._drawn(values, step) > 0).double().mean()) for step in range(400)]
    assert sum(kept) / len(kept) == pytest.approx(float(made.penalty(values, Draw(0)) or 0.0), abs=0.03)


def test_the_largest_of_equal_ones_are_the_earlier() -> None:
    assert largest(torch.tensor([1.0, -1.0, 1.0, 2.0]), 0.5).tolist() == [1.0, 0.0, 0.0, 1.0]
    assert largest(torch.ones(8), 1.0).sum() == 8


@pytest.mark.parametrize("density", [0.05, 0.3])
def test_the_expert_changes_as_many_numbers_as_the_density_says(small: World, tmp_path: Path, density: float) -> None:
    params = {"density": density, "rate": 0.05, "mask_rate": 0.3, "warm_up": 0}
    spec = small.expert_spec(params, steps=10, method={"name": "diff_pruning", "params": params})
    with open_run(spec, small.bench(tmp_path / "expert")) as run:
        *_, last = run.events()
        shown = [float(value) for value in run.state.values["fixed"]]
    assert isinstance(last, Trained)
    base, made = small.catalog.open(small.base), small.catalog.open(f"file:{tmp_path / 'expert'}")
    changed = sum(int((base.read(name) != made.read(name)).sum()) for name in base.leaves)
    size = sum(leaf.elements for leaf in base.leaves.values())
    assert changed == round(density * size) == sum(shown)
    assert f"| {changed} of {size} (" in (tmp_path / "expert" / "README.md").read_text(encoding="utf-8")


def test_the_mask_falls_where_it_is_penalised(small: World, tmp_path: Path) -> None:
    found = []
    for penalty in (0.0, 200.0):
        params = {"penalty": penalty, "mask_rate": 0.5, "mask_share": 1.0, "schedule": "constant", "warm_up": 0}
        spec = small.expert_spec(steps=12, method={"name": "diff_pruning", "params": params}, check={"every": 11})
        with open_run(spec, small.bench(tmp_path / str(penalty))) as run:
            for event in run.events():
                if event.as_json()["kind"] == "checked" and event.step == 11:
                    found.append(float(kept_probability(run.state.values["logits"]).mean()))
    assert found[0] > 0.9 > 0.6 > found[1]
