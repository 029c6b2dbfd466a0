"""Grids: square cells, every model inside, each cell once and the coarse ones first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.analysis.planes.grid import around, depths, steps

PLACE = st.floats(-100, 100, allow_nan=False)


@given(st.lists(st.tuples(PLACE, PLACE), min_size=2, max_size=6), st.floats(0, 2), st.integers(3, 12))
def test_the_window_is_square_and_holds_every_spot(spots: list[tuple[float, float]], margin: float, count: int) -> None:
    grid = around(spots, margin, count)
    assert len(grid.x) == len(grid.y) == count
    assert grid.x[-1] - grid.x[0] == pytest.approx(grid.y[-1] - grid.y[0], abs=1e-9)
    slack = 1e-9
    for x, y in spots:
        assert grid.x[0] - slack <= x <= grid.x[-1] + slack and grid.y[0] - slack <= y <= grid.y[-1] + slack


@pytest.mark.parametrize("count", [3, 4, 5, 9, 16, 17])
def test_every_cell_comes_once_and_the_corners_first(count: int) -> None:
    found = [cell for step in steps(count) for cell in step]
    assert sorted(found) == [(row, column) for row in range(count) for column in range(count)]
    assert {(0, 0), (0, count - 1), (count - 1, 0), (count - 1, count - 1)} <= set(steps(count)[0])
    assert depths(count)[0] == depths(count)[-1] == 0


def test_a_finer_grid_begins_with_the_cells_of_a_coarser_one() -> None:
    coarse, fine = around([(0, 0), (1, 1)], 0.5, 9), around([(0, 0), (1, 1)], 0.5, 17)
    assert fine.x[::2] == pytest.approx(coarse.x)
    assert [len(step) for step in steps(17)] == [9, 16, 56, 208]
