"""The build draws the same images again from the same seed, and what it draws is what its labels say."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy
import pytest
import torch
from PIL import Image

from assets.build.augment import Look, render, warp
from assets.build.drawing import FILL, MASK, discs, figure, fit, regular, scattered
from assets.build.randomness import numpy_stream, seed_of, torch_stream
from assets.build.sheets import read_sheet, write_sheet
from assets.build.tasks import draw_split, tiny_tasks
from assets.build.worlds import balanced, draw_counts, draw_shapes, handwritten
from merging_core.checkpoints.zoo import embedded_zoo_root


def test_streams_differ_by_name_and_repeat_by_seed() -> None:
    assert seed_of(1, "a", "b") == seed_of(1, "a", "b") != seed_of(1, "a|b", "")
    assert torch.equal(torch.rand(3, generator=torch_stream(1, "a")), torch.rand(3, generator=torch_stream(1, "a")))
    assert numpy_stream(1, "a").random() != numpy_stream(2, "a").random()


def test_balanced_labels_show_each_class_as_often() -> None:
    labels = balanced(numpy_stream(0, "labels"), 100, 10)
    assert numpy.bincount(labels).tolist() == [10] * 10


def test_what_is_drawn_is_cropped_scaled_and_centred() -> None:
    sheet = Image.new("L", (300, 300))
    sheet.paste(255, (10, 20, 110, 70))
    rows, columns = numpy.nonzero(fit(sheet))
    assert columns.max() - columns.min() + 1 == FILL
    assert rows.max() - rows.min() + 1 == FILL // 2
    assert abs(int(columns.min()) - (MASK - 1 - int(columns.max()))) <= 1


def test_an_empty_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was drawn"):
        fit(Image.new("L", (50, 50)))


def test_scattered_discs_do_not_touch() -> None:
    centres = scattered(numpy_stream(3, "dots"), 8, 0.12)
    gaps = [math.dist(a, b) for i, a in enumerate(centres) for b in centres[:i]]
    assert len(centres) == 8 and min(gaps) > 0.24


def test_as_many_dots_are_drawn_as_the_label_says() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    masks, labels = draw_counts(numpy_stream(4, "counts"), 40)
    found = [ndimage.label(mask > 90, structure=numpy.ones((3, 3)))[1] for mask in masks]
    assert found == (labels + 1).tolist()


def test_outlines_are_hollow_and_fillings_are_not() -> None:
    middle = MASK // 2
    assert figure(regular(6), 0.0)[middle, middle] == 255
    assert figure(regular(6), 0.1)[middle, middle] == 0
    assert discs([(0.0, 0.0)], [0.5], hollow=True)[middle, middle] == 0


def test_a_look_that_changes_nothing_only_crops_the_scale() -> None:
    still = Look(rotation=0, scale=(1, 1), shear=0, shift=0)
    masks = torch.rand(2, 32, 32, generator=torch_stream(0, "masks"))
    assert torch.allclose(warp(masks, still, torch_stream(0, "warp")), masks, atol=1e-5)


def test_rendering_stays_in_range_and_repeats() -> None:
    masks, _ = draw_shapes(numpy_stream(5, "shapes"), 6)
    look = tiny_tasks()[2].look
    first, again = (render(torch.from_numpy(masks), look, torch_stream(5, "look")) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (6, 32, 32) and float(first.min()) >= 0 and float(first.max()) <= 1


def test_sheets_are_read_back_as_they_were_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    images = numpy_stream(6, "sheet").integers(0, 256, (45, 8, 8)).astype(numpy.uint8)
    write_sheet(tmp_path / "sheet.png", images)
    assert numpy.array_equal(read_sheet(tmp_path / "sheet.png", 45, 8), images)


def test_the_real_digits_are_all_there() -> None:
    images, labels = handwritten()
    assert images.shape == (1797, 8, 8) and images.max() == 255
    assert set(labels.tolist()) == set(range(10))


@pytest.mark.parametrize("name", ["digits", "shapes", "counting"])
def test_drawing_a_split_again_gives_the_embedded_labels_and_nearly_the_pixels(name: str) -> None:
    """Pixels may differ by one gray level where another processor rounds otherwise."""
    folder = embedded_zoo_root() / "tasks" / "tiny" / name
    info = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    seed = json.loads((embedded_zoo_root() / "manifest.json").read_text(encoding="utf-8"))["build"]["seed"]
    task = next(task for task in tiny_tasks() if task.name == name)
    images, labels = draw_split(task, "calibration", seed)
    kept = read_sheet(folder / "calibration.png", info["splits"]["calibration"]["n"], 32)
    assert (images != kept).mean() < 0.01
    assert len(labels) == len(kept)


def test_tasks_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_tasks()[0].name = "other"  # type: ignore[misc]
