"""Where the points of a line lie, and what stands at them."""

from __future__ import annotations

import pytest
import torch

from merging_core.analysis.paths.line import flat_at, line_order, line_shares
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.engines.points import points_of


@pytest.mark.parametrize(("models", "points"), [(2, 2), (2, 25), (3, 4), (5, 9), (16, 25)])
def test_a_line_holds_each_point_once_its_ends_then_its_models_then_its_middles(models: int, points: int) -> None:
    order = line_order(models, points)
    steps = models - 1
    assert order[:2] == (0.0, float(steps)) and set(order[:models]) == {float(place) for place in range(models)}
    assert sorted(order) == sorted({step + index / (points - 1) for step in range(steps) for index in range(points)})
    if points == 25:
        assert set(order[models : models + steps]) == {step + 0.5 for step in range(steps)}


def test_a_line_goes_on_before_the_first_and_beyond_the_last_when_all_between_is_known() -> None:
    order = line_order(3, 5, before=0.5, beyond=1.0)
    assert order[: len(line_order(3, 5))] == line_order(3, 5)
    assert sorted(order[len(line_order(3, 5)) :]) == [-0.5, -0.25, 2.25, 2.5, 2.75, 3.0]


def test_at_whole_numbers_stand_the_models_themselves_and_beyond_them_the_line_goes_on() -> None:
    refs = ("zoo:basins/left", "zoo:basins/right", "zoo:basins/start")
    points = points_of(LiveEngine(Catalog(load_zoo()), "cpu"), refs)
    for place, flat in enumerate(points.flats):
        assert torch.equal(flat_at(points, float(place)), flat)
    for t in (-0.5, 0.25, 1.75, 2.5):
        low = min(max(int(t), 0), 1)
        start, end = points.flats[low].double(), points.flats[low + 1].double()
        wanted = start + (t - low) * (end - start)
        assert torch.allclose(flat_at(points, t).double(), wanted, atol=1e-6)
        assert sum(line_shares(3, t)) == 1.0
