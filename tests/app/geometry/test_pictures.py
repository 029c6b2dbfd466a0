"""Examples of a study as pictures: each at its place, texts without one."""

from __future__ import annotations

import base64
import io

import numpy
import torch
from PIL import Image

from app.geometry.pictures import sprites_of
from merging_core.evaluation.language_model import TextTask, Windows
from tests.evaluation.standins import make_task


def test_each_picture_stands_at_its_place_among_those_of_its_task_and_a_text_has_none() -> None:
    one, other = make_task("one", {"train": 9}, seed=1), make_task("other", {"train": 5}, seed=2)
    windows = Windows(torch.zeros(1, 2, 4, dtype=torch.int64), torch.arange(3), (3,))
    text = TextTask("text", "Text", "", {"train": windows})
    wanted = [("one", 7), ("other", 4), ("text", 2), ("one", 0)]
    found = sprites_of((one, other, text), ("train",), "train", wanted)
    assert found["at"] == [0, 0, None, 1] and set(found["sprites"]) == {"one", "other"}
    for (name, index), place in zip(wanted, found["at"], strict=True):
        if place is None:
            continue
        source = base64.b64decode(found["sprites"][name]["source"].split(",")[1])
        row = numpy.asarray(Image.open(io.BytesIO(source)))
        task = one if name == "one" else other
        assert (row[:, 8 * place : 8 * place + 8] == task.splits["train"].images[index, 0].numpy()).all()
