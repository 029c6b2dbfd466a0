"""Laws that every merge method in the registry obeys."""

from __future__ import annotations

import pytest
import torch

from merging_core.errors import RecipeError
from merging_core.methods.contract import (
    CombineContext,
    MethodInfo,
    contexts_of_leaves,
    gather,
    gather_leaf,
    gather_ranks,
)
from merging_core.methods.info import Parameters
from merging_core.methods.registry import distinct, method, methods, registry_as_json
from merging_core.methods.task_arithmetic import task_arithmetic

SETTINGS = [
    pytest.param(info, Parameters({**info.defaults(), **extra}), id="-".join([info.name, *map(str, extra.values())]))
    for info in methods()
    for extra in (
        [{"combine": "mean"}, {"combine": "sum"}]
        if "combine" in info.defaults()
        else [{"normalize": True}, {"normalize": False}]
        if "normalize" in info.defaults()
        else [{"t": 0.5}, {"t": 0.2}]
        if "t" in info.defaults()
        else [{}]
    )
]
each_setting = pytest.mark.parametrize(("info", "params"), SETTINGS)


def models(count: int, size: int, seed: int) -> torch.Tensor:
    """Random vectors with exact zeros, as masks leave them."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, size, generator=generator)
    return torch.where(torch.rand(count, size, generator=generator) < 0.4, 0.0, vectors)


def merge(info: MethodInfo, params: Parameters, vectors: torch.Tensor, weights: torch.Tensor, cut: int) -> torch.Tensor:
    """Merge one leaf in pieces of `cut` elements, as the engines do."""
    pieces = vectors.split(cut, dim=1)
    common = CombineContext(params, gather(info, pieces, weights, params))
    common = CombineContext(params, gather_ranks(info, pieces, vectors.shape[1], weights, common))
    (context,) = contexts_of_leaves(info, common, [gather_leaf(info, pieces)], weights)
    return torch.cat([info.combine(piece, weights, context) for piece in pieces])


def fitting(info: MethodInfo, vectors: torch.Tensor, *weights: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return as many of the models as a method takes, with weights that it takes."""
    count = min(vectors.shape[0], info.models[1] or vectors.shape[0])
    found = torch.tensor(weights)[:count]
    rules = {"any": found, "not negative": found.abs(), "none": torch.ones(count)}
    return vectors[:count], rules[info.weights]


def bits(values: torch.Tensor) -> torch.Tensor:
    return values.contiguous().view(torch.int32)


@each_setting
def test_any_piece_size_and_thread_count_gives_the_same_bits(info: MethodInfo, params: Parameters) -> None:
    vectors, weights = fitting(info, models(5, 200_003, seed=1), 0.3, -0.7, 1.1, 0.9, 1.7)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = merge(info, params, vectors, weights, vectors.shape[1])
        for cut in (1009, 4096, 65_537):
            assert torch.equal(bits(merge(info, params, vectors, weights, cut)), bits(whole))
        torch.set_num_threads(2)
        assert torch.equal(bits(merge(info, params, vectors, weights, vectors.shape[1])), bits(whole))
    finally:
        torch.set_num_threads(threads)
    one_by_one = merge(info, params, vectors[:, :37], weights, 1)
    assert torch.equal(bits(one_by_one), bits(merge(info, params, vectors[:, :37], weights, 37)))


@each_setting
def test_no_argument_is_changed(info: MethodInfo, params: Parameters) -> None:
    vectors, weights = fitting(info, models(3, 50, seed=2), 1.0, -0.5, 2.0)
    before = vectors.clone(), weights.clone()
    merge(info, params, vectors, weights, 7)
    assert torch.equal(vectors, before[0])
    assert torch.equal(weights, before[1])


@each_setting
def test_models_permuted_with_their_weights_give_the_same_merge(info: MethodInfo, params: Parameters) -> None:
    if not info.symmetric and "t" not in params:
        pytest.skip(f"{info.name} averages along an order")
    vectors, weights = fitting(info, models(4, 2000, seed=3), 1.0, 0.5, 2.0, 0.25)
    order = torch.tensor([place for place in (2, 0, 3, 1) if place < len(weights)])
    straight = merge(info, params, vectors, weights, 512)
    # A method in which the order matters says by a share t how far it is from the first model to the second.
    turned = params if info.symmetric else params.changed(t=1.0 - params.number("t"))
    if not info.symmetric:
        order = order.sort(descending=True).values
    permuted = merge(info, turned, vectors[order], weights[order], 512)
    torch.testing.assert_close(permuted, straight, rtol=1e-6, atol=1e-6)


@each_setting
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_equal_experts_give_the_expert_or_its_multiple(info: MethodInfo, params: Parameters, count: int) -> None:
    fewest, most = info.models
    if not fewest <= count <= (most or count):
        pytest.skip(f"{info.name} takes {fewest} to {most or 'many'} models")
    expert = models(1, 500, seed=4)
    if info.name in ("consensus", "pcb"):
        pytest.skip("equal experts hide each other, or keep their best alone: see the method's own tests")
    adds_up = params.get("normalize") is False or params.get("combine") == "sum" or info.combine is task_arithmetic
    expected = expert[0] * (count if adds_up else 1)
    if info.name == "nearswap":
        expected = expected.clamp(-params.number("t"), params.number("t"))
    found = merge(info, params, expert.repeat(count, 1), torch.ones(count), 100)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0.0)


@each_setting
def test_zero_vectors_give_zero(info: MethodInfo, params: Parameters) -> None:
    vectors, weights = fitting(info, torch.zeros(3, 20), 1.0, 1.0, 1.0)
    found = merge(info, params, vectors, weights, 20)
    assert torch.equal(bits(found), torch.zeros(20, dtype=torch.int32))


@each_setting
def test_a_weight_of_zero_is_the_same_as_absence(info: MethodInfo, params: Parameters) -> None:
    if info.weights == "none":
        pytest.skip(f"{info.name} has no weights")
    if info.models[1] is not None and info.models[1] < 3:  # noqa: PLR2004
        pytest.skip(f"{info.name} takes {info.models[1]} models")
    vectors, weights = models(3, 400, seed=5), torch.tensor([1.0, 0.0, 0.5])
    found = merge(info, params, vectors, weights, 400)
    without = merge(info, params, vectors[[0, 2]], weights[[0, 2]], 400)
    assert torch.equal(found, without)


@each_setting
@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_scaling_all_vectors_scales_the_merge(info: MethodInfo, params: Parameters, factor: float) -> None:
    if info.name in ("nearswap", "pcb"):
        pytest.skip(f"{info.name} has numbers of its own, which do not grow with the vectors")
    vectors, weights = fitting(info, models(3, 400, seed=6), 1.0, -0.3, 0.7)
    found = merge(info, params, vectors * factor, weights, 400)
    assert torch.equal(found, merge(info, params, vectors, weights, 400) * factor)


@each_setting
def test_turning_every_vector_turns_the_merge_where_votes_are_not_tied(info: MethodInfo, params: Parameters) -> None:
    drawn = torch.randn(3, 400, generator=torch.Generator().manual_seed(7))
    vectors, weights = fitting(info, drawn, 1.0, 0.3, 0.7)
    assert torch.equal(merge(info, params, -vectors, weights, 400), -merge(info, params, vectors, weights, 400))


@each_setting
def test_one_element_and_no_elements_are_models_too(info: MethodInfo, params: Parameters) -> None:
    vectors, weights = fitting(info, torch.tensor([[3.0], [3.0]]), 1.0, 1.0)
    assert merge(info, params, vectors, weights, 1).shape == (1,)
    # A leaf without elements has no statistics of its own; nothing of it is ever combined but, at most, an empty piece.
    assert gather_leaf(info, [vectors[:, :0]]) == {}
    (context,) = contexts_of_leaves(info, CombineContext(params), [{}], weights)
    if not info.leaf_statistics and not info.rank_statistics:
        assert info.combine(vectors[:, :0], weights, context).shape == (0,)


@each_setting
def test_the_result_is_float32_and_no_alias_of_an_input(info: MethodInfo, params: Parameters) -> None:
    count = info.models[0]
    vectors = models(count, 10, seed=8)
    found = merge(info, params, vectors, torch.ones(count), 10)
    assert found.dtype == torch.float32
    found.add_(1.0)
    assert torch.equal(vectors, models(count, 10, seed=8))


def test_every_method_says_what_a_reader_needs() -> None:
    for info in methods():
        assert info.source.url.startswith(
            ("https://arxiv.org/abs/", "https://doi.org/", "https://huggingface.co/", "https://github.com/")
        )
        assert info.summary.endswith(".")
        assert not set("<>&\\$") & set(info.formula)
        assert info.models[0] >= 1
        for parameter in info.parameters:
            assert parameter.problem(parameter.default, "default") is None
            assert parameter.help.endswith(".")
        assert info.owns == ({"mask"} if info.owned_mask else set())


def test_an_unknown_method_names_the_closest() -> None:
    with pytest.raises(RecipeError, match="did you mean “dare_ties”"):
        method("dare-ties")


def test_two_methods_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two methods are called linear"):
        distinct((method("linear"), method("ties"), method("linear")))


def test_the_registry_is_plain_json() -> None:
    import json

    told = json.loads(json.dumps(registry_as_json(), allow_nan=False))
    assert [entry["name"] for entry in told["methods"]] == [info.name for info in methods()]
    assert {entry["name"] for entry in told["masks"]} >= {info.owned_mask for info in methods() if info.owned_mask}
