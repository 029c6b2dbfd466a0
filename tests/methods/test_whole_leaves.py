"""Laws that every method obeys on the leaves that it sees whole."""

from __future__ import annotations

import pytest
import torch

from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Parameters
from merging_core.methods.registry import methods
from tests.methods.whole import combine, drawn

SHAPES = [(6, 9), (9, 6), (5, 5), (2, 2), (2, 40), (40, 2)]
WHOLE = [info for info in methods() if info.whole_leaf is not None]


def settings() -> list[object]:
    """Return every method that sees leaves whole, with its defaults and with each other choice."""
    found = []
    for info in WHOLE:
        for parameter in info.parameters:
            for choice in parameter.choices:
                changed = {parameter.name: choice}
                if "steps" in info.defaults() and changed.get("solver", "adam") == "adam":
                    changed["steps"] = 4  # type: ignore[assignment]
                found.append(pytest.param(info, changed, id=f"{info.name}-{choice}"))
    return found


each = pytest.mark.parametrize(("info", "params"), settings())


def takes(info: MethodInfo, params: dict[str, object], name: str, shape: tuple[int, ...]) -> bool:
    return info.sees_whole(name, shape, Parameters({**info.defaults(), **params}))  # type: ignore[dict-item]


def places(info: MethodInfo, count: int) -> list[int]:
    return list(range(min(count, info.models[1] or count)))


@each
@pytest.mark.parametrize("shape", SHAPES)
def test_the_result_is_a_new_finite_float32_leaf_and_no_argument_changes(
    info: MethodInfo, params: dict[str, object], shape: tuple[int, int]
) -> None:
    leaves = drawn(3, *shape)[places(info, 3)]
    before = leaves.clone()
    merged = combine(info, leaves, **params)
    assert merged.shape == shape and merged.dtype is torch.float32
    assert torch.isfinite(merged).all()
    assert torch.equal(leaves, before)
    merged.add_(1.0)
    assert torch.equal(leaves, before)


@each
def test_zero_leaves_give_exactly_zero(info: MethodInfo, params: dict[str, object]) -> None:
    merged = combine(info, torch.zeros(len(places(info, 3)), 4, 6), **params)
    assert torch.equal(merged, torch.zeros(4, 6))


@each
def test_all_weights_zero_give_zero(info: MethodInfo, params: dict[str, object]) -> None:
    if info.weights != "any":
        pytest.skip(f"{info.name} needs a weight above 0")
    assert torch.equal(combine(info, drawn(2, 4, 6), 0.0, 0.0, **params), torch.zeros(4, 6))


@each
@pytest.mark.parametrize("shape", SHAPES)
def test_permuted_models_give_the_same_merge(
    info: MethodInfo, params: dict[str, object], shape: tuple[int, int]
) -> None:
    if not info.symmetric:
        pytest.skip("the order matters")
    chosen = places(info, 3)
    leaves, weights = drawn(3, *shape)[chosen], torch.tensor([1.0, 0.5, 2.0])[chosen]
    order = torch.tensor(chosen).flip(0)
    straight = combine(info, leaves, *weights.tolist(), **params)
    turned = combine(info, leaves[order], *weights[order].tolist(), **params)
    torch.testing.assert_close(turned, straight, rtol=1e-5, atol=1e-6)


@each
def test_a_weight_of_zero_is_absence(info: MethodInfo, params: dict[str, object]) -> None:
    if info.models[1] is not None and info.models[1] < 3:  # noqa: PLR2004
        pytest.skip(f"{info.name} takes two models")
    if info.weights == "none":
        pytest.skip(f"{info.name} has no weights")
    leaves = drawn(3, 6, 9)
    merged = combine(info, leaves, 1.0, 0.0, 0.5, **params)
    assert torch.equal(merged, combine(info, leaves[[0, 2]], 1.0, 0.5, **params))


@each
@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_scaling_all_leaves_scales_the_merge(info: MethodInfo, params: dict[str, object], factor: float) -> None:
    if params.get("solver", info.defaults().get("solver")) == "adam":
        pytest.skip("Adam's steps have a fixed size")
    if info.name == "arcee_fusion":
        pytest.skip("softmax knows how large numbers are")
    leaves = drawn(3, 6, 9)[places(info, 3)]
    scaled = combine(info, leaves * factor, **params)
    torch.testing.assert_close(scaled, combine(info, leaves, **params) * factor, rtol=1e-5, atol=1e-6)


@each
def test_turning_every_leaf_turns_the_merge(info: MethodInfo, params: dict[str, object]) -> None:
    if info.name == "arcee_fusion":
        pytest.skip("softmax knows signs")
    leaves = drawn(3, 6, 9)[places(info, 3)]
    torch.testing.assert_close(combine(info, -leaves, **params), -combine(info, leaves, **params), rtol=1e-5, atol=1e-6)


@each
@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param(torch.stack([torch.eye(4, 6), -torch.eye(4, 6)]), id="antipodal"),
        pytest.param(torch.stack([torch.eye(4, 6), torch.eye(4, 6)]), id="parallel"),
        pytest.param(torch.stack([torch.zeros(4, 6), drawn(1, 4, 6)[0]]), id="one zero"),
        pytest.param(torch.outer(torch.arange(1.0, 5.0), torch.arange(1.0, 7.0)).expand(2, 4, 6), id="rank one"),
        pytest.param(drawn(2, 4, 6) * 1e-30, id="tiny"),
        pytest.param(drawn(2, 4, 6) * 1e30, id="huge"),
        pytest.param(drawn(2, 4, 6).to(torch.bfloat16).float(), id="bfloat16"),
    ],
)
def test_edges_are_finite(info: MethodInfo, params: dict[str, object], leaves: torch.Tensor) -> None:
    assert torch.isfinite(combine(info, leaves.contiguous(), **params)).all()


@each
def test_more_experts_than_rank_are_merged_too(info: MethodInfo, params: dict[str, object]) -> None:
    leaves = drawn(7, 2, 3, common=2.0)[places(info, 7)]
    merged = combine(info, leaves, **params)
    assert torch.isfinite(merged).all() and merged.abs().sum() > 0


@each
def test_the_same_leaves_give_the_same_bits(info: MethodInfo, params: dict[str, object]) -> None:
    leaves = drawn(3, 33, 17)[places(info, 3)]
    assert torch.equal(combine(info, leaves, **params), combine(info, leaves.clone(), **params))


@each
def test_leaves_without_two_sides_are_no_matrices(info: MethodInfo, params: dict[str, object]) -> None:
    if info.group != "subspace":
        pytest.skip(f"{info.name} looks at leaves of every shape")
    assert not any(takes(info, params, "blocks.0.fc.weight", shape) for shape in [(), (1,), (7,), (0, 4)])


@each
def test_what_a_leaf_costs_grows_with_it_and_with_the_experts(info: MethodInfo, params: dict[str, object]) -> None:
    assert info.whole_leaf is not None
    given = Parameters({**info.defaults(), **params})  # type: ignore[dict-item]
    small, wider, more = (
        info.whole_leaf.cost(shape, count, given) for shape, count in (((32, 32), 2), ((32, 64), 2), ((32, 32), 4))
    )
    assert 0 < small.operations < wider.operations
    assert small.operations <= more.operations
    assert 0 < small.numbers < wider.numbers
    assert small.numbers < more.numbers
