"""Random directions: as long as the weights filter by filter, still where leaves have one axis, and normal."""

from __future__ import annotations

import numpy
import pytest
import torch

from merging_core.analysis.planes.directions import gaussian, random_direction
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.engines.points import Points, points_of


@pytest.fixture(scope="module")
def points() -> Points:
    return points_of(LiveEngine(Catalog(load_zoo()), "cpu"), ["zoo:basins/left"])


def test_each_filter_is_as_long_as_its_weights(points: Points) -> None:
    direction = random_direction(points.space, points.flats[0], 7, 0, "filter")
    own, drawn = points.space.views(points.flats[0]), points.space.views(direction)
    for name, leaf in own.items():
        if leaf.dim() < 2:
            assert not drawn[name].any(), name
            continue
        rows = numpy.linalg.norm(leaf.double().numpy().reshape(len(leaf), -1), axis=1)
        numpy.testing.assert_allclose(drawn[name].double().flatten(1).norm(dim=1).numpy(), rows, rtol=1e-6)


def test_each_layer_is_as_long_as_its_weights_and_rows_differ(points: Points) -> None:
    direction = random_direction(points.space, points.flats[0], 7, 0, "layer")
    name, leaf = next((name, leaf) for name, leaf in points.space.views(points.flats[0]).items() if leaf.dim() == 2)
    drawn = points.space.views(direction)[name]
    assert float(drawn.double().norm()) == pytest.approx(float(leaf.double().norm()), rel=1e-6)
    assert not torch.allclose(drawn.norm(dim=1), leaf.norm(dim=1), rtol=1e-2)


def test_seed_and_number_name_the_direction(points: Points) -> None:
    made = [random_direction(points.space, points.flats[0], *key, "filter") for key in ((7, 0), (7, 0), (7, 1), (8, 0))]
    assert torch.equal(made[0], made[1])
    for other in made[2:]:
        cosine = torch.nn.functional.cosine_similarity(made[0], other, dim=0)
        assert abs(float(cosine)) < 0.05


def test_a_row_of_zeros_stays_where_it_is(points: Points) -> None:
    direction = random_direction(points.space, torch.zeros_like(points.flats[0]), 1, 0, "filter")
    assert not direction.any()


def test_the_numbers_are_normal() -> None:
    drawn = gaussian(3, 1, "a leaf", 200_000).numpy()
    assert drawn.mean() == pytest.approx(0.0, abs=0.01)
    assert drawn.std() == pytest.approx(1.0, abs=0.01)
    assert (numpy.abs(drawn) < 1.959964).mean() == pytest.approx(0.95, abs=0.003)
    assert numpy.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(0.0, abs=0.01)
