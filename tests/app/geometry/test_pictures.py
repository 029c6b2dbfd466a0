"""Examples of a study as pictures, each at its place, and texts by their beginning."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy
import pytest
import torch
from PIL import Image

from app.families import Family
from app.geometry.pictures import beginnings_of, changed_of, sprites_of
from app.geometry.question import Question, tokenizer_for
from app.studio.messages import MessageError
from merging_core.analysis.mechanisms.interventions import interventions
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.spec import parse_study
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.language_model import TextTask, Windows
from merging_core.evaluation.text_tasks import TextClassification, TextSplit
from merging_core.evaluation.token_rows import packed
from merging_core.evaluation.tokenizing import read_tokenizer
from tests.evaluation.models import write_tokenizer
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


def test_a_text_is_shown_by_its_beginning_and_a_picture_is_not(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    tokenizer = read_tokenizer(tmp_path)
    texts = ["the big cat sees a dog", "owl " * 200]
    rows = packed(*zip(*tokenizer.pairs([(text, None) for text in texts]), strict=True))
    text = TextClassification("text", "Text", "", ("a", "b"), OwnHead(), {"train": TextSplit(rows, None, "s")})
    found = beginnings_of(
        (make_task("one", {"train": 2}), text), "train", [("text", 0), ("one", 1), ("text", 1)], tokenizer
    )
    first, picture, long = found
    assert picture is None and first is not None and texts[0] in first
    assert long is not None and "owl owl" in long and len(long) == 120


def test_a_picture_stands_before_what_each_change_makes_of_it() -> None:
    task, changes = make_task("one", {"train": 9}, seed=1), interventions()[:2]
    found = changed_of((task,), ("train",), "train", [("one", 7)], changes, 0)
    assert found["changes"] == ["inverted", "blurred"] and found["sprites"][0]["count"] == 3
    row = numpy.asarray(Image.open(io.BytesIO(base64.b64decode(found["sprites"][0]["source"].split(",")[1]))))
    picture = task.splits["train"].images[7, 0].numpy()
    assert (row[:, :8] == picture).all() and (row[:, 8:16] == 255 - picture).all()


def test_an_example_that_is_not_there_is_not_changed_nor_are_too_many() -> None:
    task = make_task("one", {"train": 9}, seed=1)
    with pytest.raises(MessageError, match="at most 12 examples are changed at once, but 13 came"):
        changed_of((task,), ("train",), "train", [("one", 1)] * 13, interventions(), 0)
    with pytest.raises(MessageError, match="number 9 came"):
        changed_of((task,), ("train",), "train", [("one", 9)], interventions(), 0)


def test_the_first_tokenizer_that_a_model_comes_with_reads_texts(tmp_path: Path) -> None:
    spec = parse_study({"version": 1, "study": "interpolate", "models": ["zoo:basins/left", "zoo:basins/right"]})
    folders = {"zoo:basins/left": tmp_path / "none", "zoo:basins/right": tmp_path / "words"}
    engine = SimpleNamespace(opened=lambda ref, base: SimpleNamespace(folder=folders[ref], root=None))
    question = Question(spec, cast("Family", None))
    assert tokenizer_for(question, cast("StudyBench", SimpleNamespace(engine=engine))) is None
    write_tokenizer(tmp_path / "words")
    found = tokenizer_for(question, cast("StudyBench", SimpleNamespace(engine=engine)))
    assert found is not None and found.words([8]) == "cat"
