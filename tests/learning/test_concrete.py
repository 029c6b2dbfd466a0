"""Learned masks from the first step to the recipe."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from merging_core.engines import make_plan
from merging_core.engines.streaming import stream_leaves
from merging_core.learning import Finished, Paused, Progress, State
from merging_core.learning.concrete import temperature_at
from merging_core.learning.contract import Draw
from merging_core.learning.relaxation import relaxed, uniform
from merging_core.methods.info import Parameters
from tests.engines.world import assert_same_bits
from tests.learning.world import World

MASKS = "concrete_task_arithmetic"
BOTH = "concrete_adamerging"


def run(small: World, method: str, params: dict[str, Any] | None = None, **changes: Any) -> Finished:
    with small.session(small.spec(method, {"mask_rate": 0.1, **(params or {})}, **changes)) as session:
        *_, last = session.events()
    assert isinstance(last, Finished)
    return last


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (MASKS, {}),
        (MASKS, {"sample": "straight", "final": "coin", "temperature": 1.0, "final_temperature": 0.1}),
        (MASKS, {"final": "threshold"}),
        (MASKS, {"final": "probability"}),
        (BOTH, {}),
        (BOTH, {"per": "task", "inner": "adam", "inner_rate": 1.0}),
    ],
)
def test_a_finished_run_is_a_recipe_that_both_engines_carry_out_with_the_bits_that_were_trained(
    small: World, method: str, params: dict[str, Any]
) -> None:
    with small.session(small.spec(method, {"mask_rate": 0.1, **params})) as session:
        *_, last = session.events()
        trained = session.weights()
    assert isinstance(last, Finished)
    live = small.engine().merge(last.recipe).weights
    assert_same_bits(live, trained)
    assert_same_bits(dict(stream_leaves(make_plan(last.recipe, small.catalog))), live)


@pytest.mark.parametrize("method", [MASKS, BOTH])
def test_a_seed_repeats_every_bit_and_another_seed_does_not(small: World, method: str) -> None:
    first, again, other = (run(small, method, seed=seed).recipe.tensors for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("stop", [2, 3, 5])
@pytest.mark.parametrize("inner", ["gradient", "adam"])
def test_a_run_that_was_stopped_in_either_phase_ends_as_one_that_was_not(
    small: World, tmp_path: Any, stop: int, inner: str
) -> None:
    spec = small.spec(BOTH, {"inner": inner}, keep="accuracy")
    with small.session(spec) as session:
        *_, whole = session.events()
    asked = 0

    def heed() -> Literal["go", "pause"]:
        nonlocal asked
        asked += 1
        return "pause" if asked > stop else "go"

    with small.session(spec) as session:
        for event in session.events(heed):
            if isinstance(event, Paused):
                session.state.save(tmp_path / "state.safetensors")
                break
    with small.session(spec, State.load(tmp_path / "state.safetensors")) as session:
        *_, rest = session.events()
    assert isinstance(whole, Finished)
    assert isinstance(rest, Finished)
    assert (rest.hash, rest.kept_step) == (whole.hash, whole.kept_step)


def test_masks_are_learned_first_and_coefficients_under_the_mask_of_the_recipe(small: World) -> None:
    with small.session(small.spec(BOTH, {"mask_share": 0.5, "rate": 0.1}, steps=6)) as session:
        logits, coefficients = [], []
        for event in session.events():
            if isinstance(event, Progress):
                state = session.state
                logits.append((event.step, state.values["logits"]))
                coefficients.append((event.step, state.values["coefficients"]))
        last = session.state
    assert last.step == 6
    early = [values for step, values in logits if step <= 3]
    late = [values for step, values in logits if step >= 3]
    assert all(torch.equal(values, late[0]) for values in late)
    assert not torch.equal(early[0], late[0])
    assert not torch.equal(coefficients[0][1], coefficients[-1][1])


def test_a_leaf_of_one_number_has_no_mask_and_the_rest_a_mean_of_one(small: World) -> None:
    with small.session(small.spec(MASKS)) as session:
        values = session.state.values
        tensors = session._learnable.tensors(values, Draw(0, settled=True))
        shown = session._learnable.shown(values, Draw(0, settled=True))
    assert set(tensors) == {f"mask/{name}" for name in session.weights()}
    assert all(mask.mean().item() == pytest.approx(1.0, abs=1e-5) for mask in tensors.values())
    assert shown.density == pytest.approx((0.5,) * 4)


def test_the_gradient_by_a_logit_is_that_of_plain_autograd(small: World) -> None:
    with small.session(small.spec(MASKS)) as session:
        learnable, ground = session._learnable, session.standing.ground
        logits = torch.linspace(-2, 2, ground.space.size).requires_grad_()
        along = {leaf.name: torch.cos(torch.arange(leaf.elements)).view(leaf.shape) for leaf in ground.space.leaves}
        merged = learnable.merged({"logits": logits}, Draw(3))
        total = sum((merged[name] * along[name]).sum() for name in along)
        assert isinstance(total, torch.Tensor)
        (ours,) = torch.autograd.grad(total, logits)
        masks = learnable._masks({"logits": logits.detach()}, Draw(3))  # type: ignore[attr-defined]
    expected = torch.zeros(ground.space.size, dtype=torch.float64)
    for leaf, mask in zip(ground.space.leaves, masks, strict=True):
        span = slice(leaf.start, leaf.stop)
        summed = sum(vector[span].double() for vector in ground.vectors)
        by_mask = 0.3 * along[leaf.name].reshape(-1).double() * summed
        soft = relaxed(logits.detach()[span].double(), uniform(0, 3, leaf.name, leaf.elements), 0.5)
        assert torch.allclose(soft / soft.mean(), mask.double(), atol=1e-5)
        by_soft = by_mask / soft.mean() - (by_mask * soft).mean() / soft.mean() ** 2
        expected[span] = by_soft * soft * (1 - soft) / 0.5
    assert torch.allclose(ours.double(), expected, atol=1e-5)


def test_the_temperature_goes_from_first_to_last() -> None:
    params = Parameters(temperature=2.0, final_temperature=0.5)
    assert [temperature_at(params, share) for share in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.0, 0.5])
