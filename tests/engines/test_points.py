"""Models as points of one space, and what lies between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine
from merging_core.engines.points import points_of
from merging_core.errors import SpaceError
from tests.engines.world import Family, assert_same_bits, family, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


@pytest.fixture
def engine(catalog: Catalog) -> LiveEngine:
    return LiveEngine(catalog, "cpu")


def test_a_line_is_straight_and_its_ends_are_exact(made: Family, engine: LiveEngine) -> None:
    recipe, ref = made.recipe("ties"), made.experts[1]
    ends = engine.merge(recipe).weights, engine.checkpoint(ref)
    line = points_of(engine, [recipe, ref])
    assert_same_bits(line.weights(line.mixed((1.0, 0.0))), ends[0])
    assert_same_bits(line.weights(line.mixed((0.0, 1.0))), ends[1])
    for name, middle in line.weights(line.mixed((0.75, 0.25))).items():
        if middle.is_floating_point():
            expected = 0.75 * ends[0][name].double() + 0.25 * ends[1][name].double()
            torch.testing.assert_close(middle.double(), expected, rtol=1e-6, atol=1e-7)


def test_models_of_two_spaces_are_refused(made: Family, engine: LiveEngine, tmp_path: Path) -> None:
    other = write(tmp_path / "other", {"w": torch.zeros(3)}, {})
    with pytest.raises(SpaceError):
        points_of(engine, [made.base, other])
    with pytest.raises(SpaceError, match="there is a model"):
        points_of(engine, [])
