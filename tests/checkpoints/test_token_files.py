"""What a tokenizer's files say of rows and tokens; whatever is hostile in them is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints import token_files
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.token_files import tokens_of
from merging_core.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "x"}')
    return tmp_path


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(folder, Ref("file", str(folder)))


SAID = {
    "tokenizer.json": '{"model": {"vocab": {"a": 0, "λ": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}',
    "vocab.json": '{"a": 0, "λ": 1}',
    "vocab.txt": "a\r\nλ\n<s>\n",
}


def test_each_file_is_read_and_the_newest_kind_has_the_last_word(folder: Path) -> None:
    assert tokens_of(opened(folder)) is None
    for name in reversed(SAID):
        (folder / name).write_text(SAID[name])
        (folder / "added_tokens.json").write_text('{"<s>": 2}')
        assert tokens_of(opened(folder)) == {0: "a", 1: "λ", 2: "<s>"}, name


def test_tokens_that_settings_add_are_known_to_older_vocabularies_alone(folder: Path) -> None:
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "tokenizer_config.json").write_text('{"added_tokens_decoder": {"1": {"content": "<s>"}}}')
    assert tokens_of(opened(folder)) == {0: "a", 1: "<s>"}
    (folder / "tokenizer.json").write_text('{"model": {"vocab": [["a", -1.0], ["b", -2.0]]}}')
    assert tokens_of(opened(folder)) == {0: "a", 1: "b"}


def test_tokens_with_several_rows_and_rows_with_several_tokens_are_nobody_s(folder: Path) -> None:
    (folder / "vocab.txt").write_text("a\nb\nb\n\n\nc\n")
    (folder / "added_tokens.json").write_text('{"<c>": 5, "d": 6}')
    assert tokens_of(opened(folder)) == {0: "a", 6: "d"}


HOSTILE = {
    "no JSON": ("tokenizer.json", "{"),
    "not an object": ("tokenizer.json", "[]"),
    "no vocabulary": ("tokenizer.json", '{"model": null}'),
    "another vocabulary": ("tokenizer.json", '{"model": {"vocab": "a"}}'),
    "pieces that are none": ("tokenizer.json", '{"model": {"vocab": [["a", 0], 7]}}'),
    "a token twice": ("vocab.json", '{"a": 0, "a": 1}'),
    "a row that is text": ("vocab.json", '{"a": "0"}'),
    "a row that is true": ("vocab.json", '{"a": true}'),
    "a row below none": ("vocab.json", '{"a": -1}'),
    "a row that is endless": ("vocab.json", '{"a": 99999999999999999999}'),
    "too deep": ("vocab.json", '{"a": ' + "[" * 5000 + "]" * 5000 + "}"),
    "half a character": ("vocab.json", '{"\\ud800": 0}'),
    "added tokens that are none": ("tokenizer.json", '{"model": {"vocab": {}}, "added_tokens": [7]}'),
    "no text": ("vocab.txt", b"\xff\n"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_says_something_else_is_refused_by_name(what: str, folder: Path) -> None:
    name, data = HOSTILE[what]
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(CheckpointError, match=name):
        tokens_of(opened(folder))


def test_a_vocabulary_of_too_many_values_is_refused_before_it_is_taken_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = opened(folder)
    monkeypatch.setattr(token_files, "_MOST", 3)
    monkeypatch.setattr(json, "loads", None)
    for name, text in {"vocab.json": '{"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}', "vocab.txt": "a\nb\nc\nd\n"}.items():
        (folder / name).write_text(text)
        with pytest.raises(CheckpointError, match="at most 3"):
            tokens_of(checkpoint)
        (folder / name).unlink()
