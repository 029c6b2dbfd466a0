"""Looks: known turns and moves, chance that is a function of its names, and any division of a batch."""

from __future__ import annotations

import pytest
import torch

from merging_core.learning.looks import Looks

STILL = {"rotation": 0.0, "scale": 0.0, "shift": 0.0, "shear": 0.0, "contrast": 0.0, "brightness": 0.0, "noise": 0.0}


def pictures(count: int = 6) -> torch.Tensor:
    return torch.rand((count, 2, 8, 8), generator=torch.Generator().manual_seed(0))


def test_without_any_range_pictures_stay_as_they_are() -> None:
    assert torch.allclose(Looks(0, **STILL).drawn(pictures(), "digits", 3, 0), pictures(), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "limit"), [("contrast", 0.2), ("brightness", 0.1), ("noise", 0.0), ("shift", 0.0), ("rotation", 0.0)]
)
def test_each_range_changes_pictures_within_its_bounds(name: str, limit: float) -> None:
    amount = {"contrast": 0.2, "brightness": 0.1, "noise": 0.1, "shift": 0.3, "rotation": 40.0}[name]
    before, after = pictures(200), Looks(1, **{**STILL, name: amount}).drawn(pictures(200), "digits", 0, 0)
    change = after - before
    assert not torch.allclose(after, before, atol=0.02)
    if name == "contrast":
        assert float((change.abs() - limit * before).max()) < 1e-5
    elif name == "brightness":
        assert float(change.abs().max()) <= limit + 1e-5
        assert float(change.std(dim=(1, 2, 3)).max()) < 1e-5
    elif name == "noise":
        assert float(change.std()) == pytest.approx(0.1, rel=0.05)
    else:
        assert float(after.min()) >= float(before.min()) - 1e-5
        assert float(after.max()) <= float(before.max()) + 1e-5


def test_a_picture_that_is_the_same_all_around_is_not_changed_by_turning() -> None:
    rows = torch.linspace(-1, 1, 33)
    disc = torch.exp(-8 * (rows[None, :] ** 2 + rows[:, None] ** 2)).view(1, 1, 33, 33)
    turned = Looks(2, **{**STILL, "rotation": 90.0}).drawn(disc.expand(5, 1, 33, 33), "digits", 0, 0)
    assert torch.allclose(turned, disc.expand(5, 1, 33, 33), atol=0.02)


def test_a_part_of_a_batch_looks_as_it_does_in_the_whole_and_another_batch_does_not() -> None:
    looks, whole = Looks(5), pictures()
    drawn = looks.drawn(whole, "digits", 7, 0)
    assert torch.equal(looks.drawn(whole[2:5], "digits", 7, 2), drawn[2:5])
    for other in (
        looks.drawn(whole, "digits", 8, 0),
        looks.drawn(whole, "greek", 7, 0),
        Looks(6).drawn(whole, "digits", 7, 0),
    ):
        assert not torch.allclose(other, drawn, atol=0.01)
