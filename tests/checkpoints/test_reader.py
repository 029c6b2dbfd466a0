"""Reading: the stored bits, in memory of their own, from the file whose header was checked, finite or refused."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
from io import FileIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging_core.checkpoints.reader import open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, NonFiniteError
from tests.checkpoints.build import entry, opened, packed

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
OTHERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.bool]


def bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


@pytest.mark.parametrize("dtype", FLOATS + OTHERS, ids=str)
def test_every_dtype_is_read_as_safetensors_wrote_it(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "matrix": (torch.randn(5, 7, generator=generator).abs() * 3).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 3).to(dtype),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    checkpoint = opened(tmp_path)
    theirs = load_file(tmp_path / "model.safetensors")
    assert list(checkpoint.leaves) == ["empty", "matrix", "scalar"]
    for name, expected in theirs.items():
        found = checkpoint.read(name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert bits(found) == bits(expected)


def test_a_read_is_a_copy_of_its_own(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(3)}, tmp_path / "model.safetensors")
    checkpoint = opened(tmp_path)
    checkpoint.read("w").fill_(7)
    assert checkpoint.read("w").tolist() == [0, 0, 0]
    assert load_file(tmp_path / "model.safetensors")["w"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool], ids=str)
def test_a_range_is_the_same_part_of_the_whole(dtype: torch.dtype, tmp_path: Path) -> None:
    whole = torch.arange(24).reshape(2, 3, 4).to(dtype)
    save_file({"w": whole, "v": torch.ones(2)}, tmp_path / "model.safetensors")
    checkpoint = opened(tmp_path)
    for start, stop in ((0, 24), (0, 0), (24, 24), (5, 6), (7, 19)):
        assert torch.equal(checkpoint.read_range("w", start, stop), whole.reshape(-1)[start:stop])
    for start, stop in ((-1, 3), (3, 2), (0, 25)):
        with pytest.raises(CheckpointError, match="a range lies inside the 24 elements"):
            checkpoint.read_range("w", start, stop)


def test_stored_booleans_other_than_zero_are_true(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed({"b": entry("BOOL", [4], 0, 4)}, bytes([0, 1, 2, 255])))
    found = opened(path).read("b")
    assert found.tolist() == [False, True, True, True]
    assert found.view(torch.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_leaf_that_is_not_finite_is_named_with_its_counts(dtype: torch.dtype, tmp_path: Path) -> None:
    values = [1.0, float("nan"), float("nan"), 2.0]
    infinities = 0
    if dtype is not torch.float8_e4m3fn:  # has no infinity
        values += [float("inf"), -float("inf"), float("inf")]
        infinities = 3
    save_file({"bad": torch.tensor(values).to(dtype), "good": torch.ones(2).to(dtype)}, tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path, Ref("zoo", "tiny/x"))
    assert checkpoint.read("good").float().tolist() == [1, 1]
    with pytest.raises(NonFiniteError) as refused:
        checkpoint.read("bad")
    expected = f"zoo:tiny/x: bad: every element is finite, but 2 NaN and {infinities} infinite of {len(values)} came."
    assert str(refused.value) == expected
    assert checkpoint.read_range("bad", 3, 4).float().tolist() == [2.0]


def test_the_last_element_of_a_long_leaf_is_looked_at(tmp_path: Path) -> None:
    for bad in (float("nan"), float("inf"), -float("inf")):
        values = torch.zeros(100_003)
        values[-1] = bad
        save_file({"w": values}, tmp_path / "model.safetensors")
        with pytest.raises(NonFiniteError):
            opened(tmp_path).read("w")


def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(1000)}, path)
    truncated, touched, replaced = opened(tmp_path), None, None
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(CheckpointError, match="model.safetensors: the file stays as it was when it was opened"):
        truncated.read("w")
    save_file({"w": torch.ones(1000)}, path)
    touched = opened(tmp_path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(CheckpointError, match="stays as it was"):
        touched.read("w")
    replaced = opened(tmp_path)
    (tmp_path / "other").write_bytes(path.read_bytes())
    os.utime(tmp_path / "other", ns=(1, 1))
    os.replace(tmp_path / "other", path)
    with pytest.raises(CheckpointError, match="stays as it was"):
        replaced.content()
    os.unlink(path)
    with pytest.raises(CheckpointError, match="the file exists, but no such file"):
        replaced.read("w")


def test_an_unknown_leaf_is_answered_with_the_closest_name(tmp_path: Path) -> None:
    save_file({"norm.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="did you mean “norm.weight”"):
        opened(tmp_path).read("norm.weigth")


def test_the_content_digest_is_the_written_rule(tmp_path: Path) -> None:
    save_file({"b": torch.tensor([1.0, 2.0]), "a": torch.tensor(3, dtype=torch.int16)}, tmp_path / "model.safetensors")
    by_hand = hashlib.sha256()
    by_hand.update(b"a\nI16\n[]\n" + hashlib.sha256(struct.pack("<h", 3)).digest())
    by_hand.update(b"b\nF32\n[2]\n" + hashlib.sha256(struct.pack("<2f", 1, 2)).digest())
    assert opened(tmp_path).content() == by_hand.hexdigest()


def test_the_content_digest_does_not_see_shards_metadata_or_header_order(tmp_path: Path) -> None:
    tensors = {f"w{at}": torch.full((3,), float(at)) for at in range(12)}
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    save_file(tensors, folders[0] / "model.safetensors", metadata={"format": "pt"})
    save_file({"w0": tensors["w0"]}, folders[1] / "x.safetensors")
    save_file({name: tensors[name] for name in tensors if name != "w0"}, folders[1] / "y.safetensors")
    weight_map = {name: "x.safetensors" if name == "w0" else "y.safetensors" for name in tensors}
    (folders[1] / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    backwards = {name: entry("F32", [3], at * 12, at * 12 + 12) for at, name in enumerate(reversed(tensors))}
    data = b"".join(struct.pack("<3f", *tensors[name].tolist()) for name in reversed(tensors))
    (folders[2] / "model.safetensors").write_bytes(packed(backwards, data))
    assert len({opened(folder).content() for folder in folders}) == 1
    tensors["w3"] = tensors["w3"].clone()
    tensors["w3"][0] = -0.0
    save_file(tensors, folders[0] / "model.safetensors")
    assert opened(folders[0]).content() != opened(folders[1]).content()


def test_the_digest_is_computed_once_and_a_known_one_is_not_computed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(2)}, path)
    checkpoint = opened(tmp_path)
    first = checkpoint.content()
    known = open_checkpoint(tmp_path, Ref("zoo", "tiny/x"), known_content="f" * 64)
    os.unlink(path)
    assert checkpoint.content() == first
    assert known.content() == "f" * 64
    with pytest.raises(CheckpointError):
        known.compute_content()


def test_leaves_come_in_natural_order(tmp_path: Path) -> None:
    names = ["layers.10.w", "layers.2.w", "embed", "layers.2.b"]
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "model.safetensors")
    assert list(opened(tmp_path).leaves) == ["embed", "layers.2.b", "layers.2.w", "layers.10.w"]


def test_config_is_read_beside_the_model_and_only_there(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "adapter.safetensors")
    assert opened(tmp_path).config == {}
    (tmp_path / "config.json").write_text('{"model_type": "vit", "auto_map": {"AutoModel": "evil.py"}}')
    assert opened(tmp_path).config["model_type"] == "vit"
    assert opened(tmp_path / "model.safetensors").config["model_type"] == "vit"
    assert opened(tmp_path / "adapter.safetensors").config == {}
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="config.json: the text is JSON"):
        opened(tmp_path)


def test_a_folder_without_safetensors_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a checkpoint folder holds model.safetensors"):
        opened(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(CheckpointError, match="only pytorch_model.bin came; pickles can run code"):
        opened(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    save_file({"w": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="weights.safetensors came; name that file"):
        opened(tmp_path)
    with pytest.raises(CheckpointError, match="the file exists, but no such file"):
        opened(tmp_path / "nowhere")


def test_what_the_system_refuses_to_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    save_file({"w": torch.zeros(1)}, tmp_path / "model.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr("merging_core.checkpoints.files.FileIO", type("Stuck", (FileIO,), {"read": refuse}))
        with pytest.raises(CheckpointError, match="model.safetensors: the file can be read, but “Permission denied”"):
            opened(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CheckpointError, match="the folder can be looked into, but “Permission denied” came"):
        opened(tmp_path)


def test_a_link_that_takes_a_files_place_while_it_is_opened_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "secret.safetensors")
    (tmp_path / "model.safetensors").symlink_to("secret.safetensors")
    monkeypatch.setattr(Path, "lstat", Path.stat)  # as if the link had come after the look
    with pytest.raises(CheckpointError, match="model.safetensors: the file can be opened, but "):
        opened(tmp_path / "model.safetensors")


def test_problems_carry_the_label_and_never_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path, Ref("file", str(tmp_path)))
    assert str(refused.value).startswith(f"file:{tmp_path.name}: model.safetensors: only safetensors files")
    assert str(tmp_path.parent) not in str(refused.value)


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    tensors = {f"w{at}": torch.full((5000,), float(at)) for at in range(8)}
    save_file(tensors, tmp_path / "model.safetensors")
    checkpoint = opened(tmp_path)
    wrong: list[str] = []

    def read_all() -> None:
        for _ in range(5):
            wrong.extend(name for name in tensors if not torch.equal(checkpoint.read(name), tensors[name]))

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_reading_keeps_one_file_open_and_closes_it(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2), "b": torch.zeros(1)}, tmp_path / "model.safetensors")
    checkpoint = opened(tmp_path)
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list open files")
    before = len(os.listdir("/proc/self/fd"))
    with checkpoint.reading() as reading:
        assert reading.read("a").tolist() == [1, 1] and reading.read_range("b", 0, 1).tolist() == [0]
        assert len(os.listdir("/proc/self/fd")) == before + 1
        os.truncate(tmp_path / "model.safetensors", 80)
        with pytest.raises(CheckpointError, match="stays as it was"):
            reading.read("a")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reading_goes_on_when_the_file_is_replaced_by_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, path)
    checkpoint = opened(tmp_path)
    with checkpoint.reading() as reading:
        reading.read("a")
        save_file({"a": torch.zeros(2), "b": torch.zeros(3)}, tmp_path / "newer")
        os.replace(tmp_path / "newer", path)
        assert reading.read("b").tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match="stays as it was"):
        checkpoint.read("b")
