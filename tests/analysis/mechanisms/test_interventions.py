"""Changes of pictures do what they say, to any picture of any size, and the same whoever asks."""

from __future__ import annotations

from dataclasses import fields

import numpy
import pytest
import torch

from merging_core.analysis.mechanisms.interventions import Changed, Intervention, changed, interventions
from merging_core.checkpoints.zoo import load_zoo
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.tasks import Task

EVERY = pytest.mark.parametrize("change", interventions(), ids=lambda change: change.name)


def cross(side: int = 32, channels: int = 1, dark: bool = False) -> torch.Tensor:
    """A bright cross on a dark ground, or the other way round."""
    picture = torch.full((1, channels, side, side), 20, dtype=torch.uint8)
    picture[..., side // 2 - side // 8 : side // 2 + side // 8, side // 8 : -side // 8] = 220
    picture[..., side // 8 : -side // 8, side // 2 - side // 8 : side // 2 + side // 8] = 220
    return 255 - picture if dark else picture


def named(name: str) -> Intervention:
    return next(change for change in interventions() if change.name == name)


@EVERY
@pytest.mark.parametrize(("side", "channels"), [(32, 1), (8, 1), (30, 3), (7, 1)])
def test_a_changed_picture_is_another_of_the_same_form(change: Intervention, side: int, channels: int) -> None:
    chance = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (2, channels, side, side), generator=chance, dtype=torch.uint8)
    made = changed(picture, change, 0)
    assert made.shape == picture.shape and made.dtype == torch.uint8
    if not (side == 7 and change.name == "shuffled"):
        assert not torch.equal(made, picture)


@EVERY
def test_chance_is_of_the_seed_and_the_picture_not_of_its_place(change: Intervention) -> None:
    pictures = torch.randint(0, 256, (3, 1, 32, 32), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    whole = changed(pictures, change, 3)
    assert torch.equal(whole, torch.cat([changed(one[None], change, 3) for one in pictures]))
    again = changed(pictures, change, 4)
    drawn = change.name not in ("inverted", "blurred")
    assert torch.equal(whole, again) is not drawn


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["noise", "striped"])
def test_a_texture_is_put_into_the_figure_and_the_ground_stays(name: str, dark: bool) -> None:
    picture = cross(dark=dark)
    made = changed(picture, named(name), 0)
    figure = picture != picture[0, 0, 0, 0]
    assert torch.equal(made[~figure], picture[~figure])
    strokes = made[figure].float()
    assert strokes.std() > 20.0
    ground, before = float(picture[0, 0, 0, 0]), float(picture[figure][0])
    assert min(ground, before) <= strokes.min() and strokes.max() <= max(ground, before)


def test_shuffled_patches_hold_the_same_pixels_in_other_places() -> None:
    picture = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    made = changed(picture, named("shuffled"), 0)
    assert sorted(made.flatten().tolist()) == sorted(picture.flatten().tolist())
    blocks = made.reshape(4, 8, 4, 8).permute(0, 2, 1, 3).reshape(16, 64)
    assert all(len(set(block.tolist())) == 1 for block in blocks)


def test_turned_patches_stay_in_their_places() -> None:
    picture = torch.randint(0, 256, (1, 1, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    made = changed(picture, named("tiles"), 0)
    for row in range(0, 32, 8):
        for column in range(0, 32, 8):
            one, other = (them[0, 0, row : row + 8, column : column + 8] for them in (picture, made))
            assert any(torch.equal(other, torch.rot90(one, turn)) for turn in (1, 2, 3))


def test_a_blur_leaves_an_even_picture_as_it_is_and_smooths_an_edge() -> None:
    even = torch.full((1, 1, 32, 32), 77, dtype=torch.uint8)
    assert torch.equal(changed(even, named("blurred"), 0), even)
    made = changed(cross(), named("blurred"), 0).float()
    assert made.diff(dim=-1).abs().max() < 0.5 * cross().float().diff(dim=-1).abs().max()


def test_a_changed_task_is_the_task_with_changed_pictures() -> None:
    task = load_task(load_zoo().task_folder("basins/digits"))
    change = named("noise")
    other = Changed.of(task, change, 5)
    assert all(getattr(other, one.name) is getattr(task, one.name) for one in fields(Task))
    rows = task.inputs("validation")[:4]
    assert torch.equal(other.prepared(rows), task.pixels(changed(rows, change, 5)))
    assert not numpy.allclose(other.prepared(rows), task.prepared(rows))
