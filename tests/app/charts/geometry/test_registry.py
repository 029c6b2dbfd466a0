"""Every study has its drawing, and every figure its table."""

from __future__ import annotations

import pytest

from app.charts.geometry.registry import drawing, drawings
from merging_core.analysis.studies.registry import studies


def test_every_study_is_drawn_and_nothing_else() -> None:
    assert set(drawings()) == {one.name for one in studies()}


@pytest.mark.parametrize("name", sorted(drawings()))
def test_figures_have_names_sentences_and_room(name: str) -> None:
    found = drawing(name)
    assert found is not None
    names = [info.name for info in found.figures]
    assert names and len(names) == len(set(names))
    for info in found.figures:
        assert info.title and info.sentence.endswith(".") and 160 <= info.height <= 700
