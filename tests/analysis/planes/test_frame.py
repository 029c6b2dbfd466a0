"""Planes through models: coordinates against an independent float64 reference, distances, and what spans none."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging_core.analysis.planes.frame import along, arrow_gram, principal, through_three
from merging_core.errors import SpaceError


def models(seed: int, count: int, size: int = 70_000) -> list[torch.Tensor]:
    """Models close to each other, as those of one base are; longer than one block of a sum."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(size, generator=generator)
    return [base + 0.01 * torch.randn(size, generator=generator) for _ in range(count)]


def wide(flats: list[torch.Tensor]) -> numpy.ndarray:
    return torch.stack(flats).double().numpy()


@given(st.integers(0, 5))
def test_models_lie_where_gram_and_schmidt_put_them(seed: int) -> None:
    flats = models(seed, 5)
    own = wide(flats)
    u = (own[1] - own[0]) / numpy.linalg.norm(own[1] - own[0])
    v = own[2] - own[0] - ((own[2] - own[0]) @ u) * u
    v /= numpy.linalg.norm(v)
    frame = through_three(arrow_gram(flats))
    for index in range(5):
        arrow = own[index] - own[0]
        x, y = arrow @ u, arrow @ v
        spot = frame.spot(index)
        assert (spot.x, spot.y) == pytest.approx((x, y), abs=1e-9)
        beside = numpy.linalg.norm(arrow - x * u - y * v)
        assert spot.distance == pytest.approx(beside, rel=1e-9, abs=1e-7)
    assert all(frame.spot(index).distance < 1e-7 for index in range(3))


def test_both_axes_have_the_unit_of_weight_space() -> None:
    flats = models(1, 3)
    own = wide(flats)
    frame = through_three(arrow_gram(flats))
    spots = [frame.spot(index) for index in range(3)]
    for i in range(3):
        for j in range(3):
            in_plane = numpy.hypot(spots[i].x - spots[j].x, spots[i].y - spots[j].y)
            assert in_plane == pytest.approx(numpy.linalg.norm(own[i] - own[j]), rel=1e-9)


def test_shares_lead_to_the_point_of_the_plane() -> None:
    flats = models(2, 4)
    own = wide(flats)
    frame = through_three(arrow_gram(flats))
    arrows = own - own[0]
    u, v = frame.across @ arrows, frame.up @ arrows
    assert (u @ u, v @ v, u @ v) == pytest.approx((1.0, 1.0, 0.0), abs=1e-9)
    numpy.testing.assert_allclose(frame.shares(0.3, -2.0) @ arrows, 0.3 * u - 2.0 * v, atol=1e-12)


def test_task_vectors_are_axes_as_they_are() -> None:
    flats = models(3, 4)
    frame = along(arrow_gram(flats), 1, 2)
    spots = [frame.spot(index) for index in range(4)]
    for spot, wanted in zip(spots, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], strict=False):
        assert (spot.x, spot.y) == pytest.approx(wanted, abs=1e-9)
    own = wide(flats) - wide(flats)[0]
    best, *_ = numpy.linalg.lstsq(own[1:3].T, own[3], rcond=None)
    assert (spots[3].x, spots[3].y) == pytest.approx(tuple(best), abs=1e-9)


def test_free_arrows_are_axes_too() -> None:
    flats, free = models(4, 2), [torch.ones(70_000), torch.arange(70_000).float()]
    frame = along(arrow_gram(flats, free), 2, 3)
    assert (frame.spot(0).x, frame.spot(0).y, frame.spot(0).distance) == (0.0, 0.0, 0.0)
    assert (frame.spot(2).x, frame.spot(3).y) == pytest.approx((1.0, 1.0))


def test_principal_axes_are_those_of_a_singular_value_decomposition() -> None:
    flats = models(5, 6)
    own = wide(flats)
    centred = own - own.mean(axis=0)
    _, values, axes = numpy.linalg.svd(centred, full_matrices=False)
    frame, spread = principal(arrow_gram(flats), 6)
    assert spread == pytest.approx(tuple(values[:2] ** 2 / (values**2).sum()), rel=1e-6)
    for index in range(6):
        spot = frame.spot(index)
        wanted = numpy.abs(axes[:2] @ centred[index])
        assert (abs(spot.x), abs(spot.y)) == pytest.approx(tuple(wanted), rel=1e-5, abs=1e-6)


def test_a_model_is_where_it_is_however_close_the_others_are() -> None:
    base = torch.full((1000,), 100.0)
    near = base.clone()
    near[0] += 2.0**-13
    other = base.clone()
    other[1] += 1.0
    frame = through_three(arrow_gram([base, other, near]))
    assert frame.spot(2).y == 2.0**-13


@pytest.mark.parametrize("places", [(0, 0, 0), (0, 1, 1), (0, 1, 2), (0, 0, 1)])
def test_models_on_one_line_span_no_plane(places: tuple[int, int, int]) -> None:
    start, step = models(6, 2, 500)
    with pytest.raises(SpaceError, match="span a plane"):
        through_three(arrow_gram([start + place * step for place in places]))
    with pytest.raises(SpaceError, match="span a plane"):
        principal(arrow_gram([start + place * step for place in (*places, 3)]), 4)
