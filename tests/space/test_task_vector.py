"""Task vectors are vectors: the laws of a vector space, and norms and angles in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.checkpoints.natural import natural_order
from merging_core.errors import SpaceError
from merging_core.space.depth import depths
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf
from merging_core.space.task_vector import TaskVector


def space_of(shapes: dict[str, tuple[int, ...]]) -> ParameterSpace:
    names = natural_order(shapes)
    found = depths(names)
    leaves, end = [], 0
    for name in names:
        start, end = end, end + math.prod(shapes[name])
        leaves.append(SpaceLeaf(name, "F32", shapes[name], start, end, found[name]))
    return ParameterSpace(tuple(leaves), (), end)


SPACE = space_of({"embeddings.w": (1,), "layers.0.w": (2, 2), "layers.1.w": (3,), "norm.s": ()})


def vector(*values: float) -> TaskVector:
    return TaskVector(SPACE, torch.tensor(values, dtype=torch.float32))


numbers = st.integers(-1000, 1000).map(float)
vectors = st.lists(numbers, min_size=9, max_size=9).map(lambda values: vector(*values))


@given(vectors, vectors, vectors, st.integers(-8, 8))
def test_the_laws_of_a_vector_space_hold(a: TaskVector, b: TaskVector, c: TaskVector, k: int) -> None:
    def same(x: TaskVector, y: TaskVector) -> bool:
        return torch.equal(x.flat, y.flat)

    assert same(a + b, b + a) and same((a + b) + c, a + (b + c))  # exact: small whole numbers
    assert same(a - b, a + (-b)) and same(-1 * (-a), a) and same(a - a, 0 * a)
    assert same(k * (a + b), k * a + k * b) and same(a * k, k * a) and same(1 * a, a)
    assert same(c + (b - a), (c - a) + b)  # the analogy


@given(vectors, vectors)
def test_dot_norm_and_cosine_agree_with_float64(a: TaskVector, b: TaskVector) -> None:
    x, y = a.flat.double(), b.flat.double()
    assert a.dot(b) == b.dot(a) == float((x * y).sum())
    assert a.norm() == pytest.approx(float(x.norm()), rel=1e-14)
    assert a.l1() == float(x.abs().sum())
    lengths = float(x.norm() * y.norm())
    expected = float((x * y).sum()) / lengths if lengths else 0.0
    assert a.cosine(b) == pytest.approx(expected, abs=1e-12)
    assert -1 <= a.cosine(b) <= 1 and -1 <= a.cosine(3 * a) <= 1


def test_a_zero_vector_has_cosine_zero_with_everything() -> None:
    zero, one = 0 * vector(*range(9)), vector(*range(9))
    assert zero.cosine(one) == one.cosine(zero) == zero.cosine(zero) == 0.0
    assert zero.norm() == 0.0


def test_the_cosine_of_very_small_and_very_large_vectors_does_not_vanish() -> None:
    tiny, huge = vector(*[1e-38] * 9), vector(*[1e38] * 9)
    assert tiny.cosine(tiny) == pytest.approx(1.0)
    assert huge.cosine(huge) == pytest.approx(1.0)
    assert huge.norm() == pytest.approx(3e38, rel=1e-6)


def test_norms_by_depth_are_worked_by_hand() -> None:
    tau = vector(2, 1, 1, 1, 1, 2, 2, 1, 5)
    found = [(segment.depth.side, segment.depth.index, norm) for segment, norm in tau.norms_by_depth()]
    assert found == [("before", None, 2.0), ("inside", 0, 2.0), ("inside", 1, 3.0), ("after", None, 5.0)]


def test_operations_change_neither_side() -> None:
    a, b = vector(*range(9)), vector(*range(9))
    before = a.flat.clone()
    _ = a + b, a - b, -a, 2 * a, a.dot(b), a.cosine(b), a.norm(), a.l1()
    assert torch.equal(a.flat, before) and torch.equal(b.flat, before)


def test_leaves_have_their_shapes() -> None:
    leaves = vector(*range(9)).leaves()
    assert leaves["layers.0.w"].tolist() == [[1, 2], [3, 4]]
    assert leaves["norm.s"].shape == () and leaves["norm.s"].item() == 8


def test_vectors_of_different_spaces_do_not_mix() -> None:
    other = TaskVector(space_of({"w": (9,)}), torch.zeros(9))
    for mixed in (lambda a: a + other, lambda a: a - other, lambda a: a.dot(other), lambda a: a.cosine(other)):
        with pytest.raises(SpaceError, match="both task vectors live in one space"):
            mixed(vector(*range(9)))
    again = space_of({"embeddings.w": (1,), "layers.0.w": (2, 2), "layers.1.w": (3,), "norm.s": ()})
    assert (vector(*range(9)) + TaskVector(again, torch.ones(9))).flat.tolist() == list(range(1, 10))


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_a_factor_is_finite(factor: float) -> None:
    with pytest.raises(SpaceError, match="multiplied by a finite number"):
        vector(*range(9)) * factor


@pytest.mark.parametrize("factor", [True, "2", None])
def test_a_factor_is_a_number(factor: object) -> None:
    with pytest.raises(TypeError):
        vector(*range(9)) * factor  # type: ignore[operator]


@pytest.mark.parametrize("flat", [torch.zeros(8), torch.zeros(9, dtype=torch.float64), torch.zeros(3, 3)])
def test_a_vector_fits_its_space(flat: torch.Tensor) -> None:
    with pytest.raises(SpaceError, match=r"a task vector is float32 of shape \(9,\)"):
        TaskVector(SPACE, flat)
