"""The header check: what it accepts opens in safetensors; what it refuses, it refuses in a sentence, quickly."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging_core.checkpoints.header import MAX_HEADER_BYTES, MAX_LEAVES, check_header, read_header
from merging_core.errors import CheckpointError
from tests.checkpoints.build import entry, opened, packed, two_leaves

SOUND = two_leaves()
SAID = [
    # lengths
    ("nothing", b"", "at least 10 bytes, but 0 bytes"),
    ("seven bytes", bytes(7), "at least 10 bytes"),
    ("eight bytes", bytes(8), "at least 10 bytes"),
    ("header length 0", bytes(20), "header length is at least 2 bytes, but 0 came"),
    ("header length 2^63", (1 << 63).to_bytes(8, "little") + bytes(20), "header length is at most"),
    ("header length 2^64 - 1", b"\xff" * 8 + bytes(20), "header length is at most"),
    ("header length 100 000 001", (100_000_001).to_bytes(8, "little") + bytes(20), "header length is at most"),
    ("header longer than the file", (1000).to_bytes(8, "little") + b"{}" + bytes(20), "it is truncated"),
    ("one byte less", SOUND[:-1], "has 141 bytes, but 140 bytes came; it is truncated"),
    ("one byte more", SOUND + b"\0", "has 141 bytes, but 142 bytes came; it has extra bytes at its end"),
    # text
    ("not UTF-8", packed(b'{"\xff":1}'), "UTF-8"),
    ("not JSON", packed("{nonsense}"), "header is JSON"),
    ("a list", packed("[]"), "starts with “{”"),
    ("leading spaces", packed("  {}"), "starts with “{”"),
    ("NUL padding", packed('{"a":{}}\0\0'), "header is JSON"),
    ("200 deep", packed('{"a":' + "[" * 200 + "]" * 200 + "}"), "nested at most 3 deep"),
    ("a million deep", packed('{"a":' + "[" * 1_000_000), "far more entries"),
    ("hundred thousand deep", packed('{"a":' + '{"b":' * 100_000), "nested at most 3 deep"),
    ("unclosed text full of quotes", packed('{"' + '\\"' * 500_000), "header is JSON"),
    ("duplicate leaf", packed('{"a":{},"a":{}}'), "each key occurs once, but “a” twice"),
    ("duplicate field", packed('{"a":{"dtype":"F32","dtype":"F16"}}'), "each key occurs once, but “dtype” twice"),
    ("an integer of 5000 digits", packed('{"a":{"shape":[' + "9" * 5000 + "]}}"), "whole and between 0 and 2^63"),
    ("NaN", packed('{"a":{"shape":[NaN]}}'), "whole and between 0 and 2^63"),
    ("no leaves", packed("{}"), "1 to 50000 leaves, but none"),
    ("metadata only", packed('{"__metadata__":{"format":"pt"}}'), "1 to 50000 leaves"),
    ("metadata null", packed({"__metadata__": None, "a": entry("U8", [1], 0, 1)}, b"0"), "maps text to text"),
    ("metadata number", packed({"__metadata__": {"a": 1}, "a": entry("U8", [1], 0, 1)}, b"0"), "maps text to text"),
    ("a lone surrogate", packed('{"__metadata__":{"a":"\\ud800"},"a":{}}'), "maps text to text"),
    # entries
    ("extra field", packed({"a": entry("U8", [1], 0, 1) | {"x": 1}}, b"0"), "a: an entry has dtype, shape"),
    ("missing field", packed({"a": {"dtype": "U8", "shape": [1]}}, b"0"), "a: an entry has dtype, shape"),
    ("entry is text", packed({"a": "U8"}), "a: an entry has dtype, shape"),
    ("unknown dtype", packed({"a": entry("F31", [1], 0, 4)}, bytes(4)), "a: the dtype is one that can be read"),
    ("dtype is a list", packed({"a": entry([], [1], 0, 4)}, bytes(4)), "a: the dtype is one that can be read"),
    ("four-bit floats", packed({"a": entry("F4", [2], 0, 1)}, b"0"), "a: the dtype is one that can be read, but 'F4'"),
    ("complex numbers", packed({"a": entry("C64", [1], 0, 8)}, bytes(8)), "a: the dtype is one that can be read"),
    ("shape is a number", packed({"a": entry("U8", 1, 0, 1)}, b"0"), "a: the shape is a list of whole numbers"),
    ("shape of truths", packed({"a": entry("U8", [True], 0, 1)}, b"0"), "a: the shape is a list of whole numbers"),
    ("shape of fractions", packed({"a": entry("U8", [1.0], 0, 1)}, b"0"), "whole and between 0 and 2^63"),
    ("negative shape", packed({"a": entry("U8", [-1], 0, 1)}, b"0"), "whole and between 0 and 2^63"),
    ("rank 9", packed({"a": entry("U8", [1] * 9, 0, 1)}, b"0"), "a: a leaf has at most 8 dimensions, but 9"),
    ("dimension beyond 2^40", packed({"a": entry("U8", [0, 1 << 62], 0, 0)}), "a: a dimension is at most 2^40"),
    ("product beyond 2^64", packed({"a": entry("U8", [1 << 40] * 2, 0, 0)}), "a: a leaf has at most 2^48 elements"),
    ("product that wraps to 0", packed({"a": entry("U8", [1 << 32, 1 << 32], 0, 0)}), "at most 2^48 elements"),
    ("shape lies", packed({"a": entry("F32", [3], 0, 8)}, bytes(8)), "a: F32 of shape [3] takes 12 bytes, but 8"),
    ("dtype lies", packed({"a": entry("F64", [2], 0, 8)}, bytes(8)), "a: F64 of shape [2] takes 16 bytes, but 8"),
    ("offsets reversed", packed({"a": entry("U8", [1], 1, 0)}, b"0"), "a: data_offsets begin before they end"),
    ("three offsets", packed('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}', b"0"), "two whole numbers"),
    ("a gap at the start", packed({"a": entry("U8", [1], 1, 2)}, bytes(2)), "a: leaves follow one another"),
    (
        "an overlap",
        packed({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, bytes(3)),
        "b: leaves follow one another without holes or overlaps, but an overlap",
    ),
    (
        "the same bytes twice",
        packed({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, bytes(2)),
        "without holes or overlaps, but an overlap",
    ),
    ("a hole", packed({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, bytes(3)), "b: leaves follow"),
    # names
    ("empty name", packed({"": entry("U8", [1], 0, 1)}, b"0"), "a leaf's name has 1 to 512 plain characters"),
    ("name with NUL", packed({"a\0": entry("U8", [1], 0, 1)}, b"0"), "a leaf's name has 1 to 512 plain characters"),
    ("name with markup", packed({"<b>": entry("U8", [1], 0, 1)}, b"0"), "a leaf's name has 1 to 512 plain characters"),
    ("name of a megabyte", packed({"a" * 1_000_000: entry("U8", [1], 0, 1)}, b"0"), "of 1000000 characters"),
    # other formats
    ("pickle", pickle.dumps([1, 2, 3] * 100, protocol=2), "only safetensors files are accepted, but a pickle"),
    ("GGUF", b"GGUF\3\0\0\0" + bytes(300), "a GGUF file"),
    ("web page", b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
    ("LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(300), "an HDF5 file"),
    ("gzip", b"\x1f\x8b\x08\0" + bytes(300), "a gzip archive"),
]


def checked(data: bytes) -> Any:
    return check_header(data[: 8 + MAX_HEADER_BYTES], len(data), "model.safetensors")


@pytest.mark.parametrize(("data", "said"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_what_is_not_sound_is_refused_in_a_sentence(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    start = time.perf_counter()
    with pytest.raises(CheckpointError) as refused:
        read_header(path)
    assert time.perf_counter() - start < 5.0
    assert said in str(refused.value)
    assert "model.safetensors" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize("cut", range(len(SOUND)))
def test_a_file_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(CheckpointError):
        checked(SOUND[:cut])


def test_a_sound_file_is_read_leaf_by_leaf() -> None:
    leaves, metadata = checked(SOUND)
    assert [(leaf.name, leaf.dtype, leaf.shape, leaf.nbytes) for leaf in leaves] == [
        ("a", "F32", (2,), 8),
        ("b", "F16", (1,), 2),
    ]
    assert [leaf.offset for leaf in leaves] == [len(SOUND) - 10, len(SOUND) - 2]
    assert metadata == {}


def test_zero_size_leaves_and_leaves_without_dimensions_are_sound() -> None:
    header = {"e": entry("F32", [0, 4], 0, 0), "s": entry("F32", [], 0, 4), "z": entry("I8", [3, 0], 4, 4)}
    leaves, _ = checked(packed(header, bytes(4)))
    assert {leaf.name: leaf.elements for leaf in leaves} == {"e": 0, "s": 1, "z": 0}


def test_all_problems_of_a_file_are_told_at_once() -> None:
    header = {"a": entry("F31", [1], 0, 4), "b": entry("F32", [-0.5], 4, 8), "c": entry("F32", [1] * 9, 8, 12)}
    header["b"]["shape"] = "one"
    with pytest.raises(CheckpointError) as refused:
        checked(packed(header, bytes(12)))
    assert [problem.where for problem in refused.value.problems] == [f"model.safetensors: {name}" for name in "abc"]


def test_the_list_of_problems_ends_after_eight() -> None:
    header = {f"w{at}": entry("F31", [1], 0, 4) for at in range(5_000)}
    start = time.perf_counter()
    with pytest.raises(CheckpointError) as refused:
        checked(packed(header, bytes(4)))
    assert len(refused.value.problems) == 9
    assert time.perf_counter() - start < 10.0


def test_too_many_leaves_are_refused_before_safetensors_would_open_them() -> None:
    header = {f"w{at}": entry("U8", [0], 0, 0) for at in range(MAX_LEAVES + 1)}
    with pytest.raises(CheckpointError, match="1 to 50000 leaves, but 50001"):
        checked(packed(header))


@pytest.mark.parametrize("item", ["[],", "1,", "{},"])
def test_small_texts_that_unfold_into_many_objects_are_refused_without_building_them(item: str) -> None:
    data = packed('{"a":[' + item * ((MAX_HEADER_BYTES - 20) // len(item)))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="far more entries"):
            checked(data)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_metadata_full_of_brackets_are_text_like_any_other() -> None:
    header = {"__metadata__": {"config": "{[" * 1000 + '"\\'}, "a": entry("U8", [1], 0, 1)}
    leaves, metadata = checked(packed(header, b"0"))
    assert metadata["config"].startswith("{[{[") and len(leaves) == 1


class Canary:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_named_and_never_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickles = [pickle.dumps(Canary(canary), protocol=protocol) for protocol in (2, 4)]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("archive/data.pkl", pickles[0])
    for data in (*pickles, archive.getvalue()):
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="only safetensors files are accepted, but a (pickle|zip archive)"):
            opened(path)
    assert not canary.exists()


def test_a_named_pipe_a_folder_and_a_link_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("real.safetensors")
    (tmp_path / "folder").mkdir()
    (tmp_path / "real.safetensors").write_bytes(SOUND)
    for name, said in (("pipe", "a named pipe"), ("link", "a symbolic link"), ("folder", "a folder")):
        with pytest.raises(CheckpointError, match=f"{name}: a checkpoint is made of regular files, but {said}"):
            read_header(tmp_path / name)
    with pytest.raises(CheckpointError, match="/dev/null|null: a checkpoint is made of regular files, but a device"):
        read_header(Path("/dev/null"))


def test_a_link_is_followed_only_to_what_lies_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "blob").write_bytes(SOUND)
    (tmp_path / "outside").write_bytes(SOUND)
    (tmp_path / "root" / "good").symlink_to("blob")
    (tmp_path / "root" / "bad").symlink_to("../outside")
    (tmp_path / "root" / "loop").symlink_to("loop")
    assert len(read_header(tmp_path / "root" / "good", root=tmp_path / "root").leaves) == 2
    with pytest.raises(CheckpointError, match="bad: .* a link that leads out of its folder"):
        read_header(tmp_path / "root" / "bad", root=tmp_path / "root")
    with pytest.raises(CheckpointError, match="loop: the file can be opened"):
        read_header(tmp_path / "root" / "loop", root=tmp_path / "root")


def test_a_sparse_file_of_a_terabyte_costs_no_reading(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(SOUND)
        try:
            file.truncate(1 << 40)
        except OSError:
            file.truncate(1 << 33)
    with pytest.raises(CheckpointError, match="extra bytes at its end"):
        read_header(path)


# Mutated files -------------------------------------------------------------------------------------------------------

DTYPES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "U32": 4}


@st.composite
def files(draw: st.DrawFn) -> tuple[list[tuple[str, dict[str, Any]]], bytes]:
    names = draw(st.lists(st.text("abwx.0123", min_size=1, max_size=6), min_size=1, max_size=4, unique=True))
    entries, end = [], 0
    for name in names:
        dtype = draw(st.sampled_from(sorted(DTYPES)))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        size = DTYPES[dtype]
        for dimension in shape:
            size *= dimension
        entries.append((name, entry(dtype, shape, end, end + size)))
        end += size
    return entries, draw(st.binary(min_size=end, max_size=end))


def spelled(entries: list[tuple[str, dict[str, Any]]], padding: str) -> str:
    """Write entries as JSON by hand, so that a name may come twice."""
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in entries) + "}" + padding


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    entries, data = draw(files())
    padding = draw(st.sampled_from(["", " ", "       ", "\n", "\0"]))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(entries) - 1))
        name, old = entries[at]
        value = {**old, "shape": list(old["shape"]), "data_offsets": list(old["data_offsets"])}
        kind = draw(st.sampled_from(["dtype", "dimension", "offset", "swap", "name", "again", "reorder", "field"]))
        if kind == "dtype":
            value["dtype"] = draw(st.sampled_from([*DTYPES, "F4", "C64", "F8_E8M0", "f32", None]))
        elif kind == "dimension":
            value["shape"].append(draw(st.sampled_from([0, 1, 2, -1, 1.5, 1 << 40, 1 << 63, True])))
        elif kind == "offset":
            value["data_offsets"][draw(st.integers(0, 1))] += draw(st.sampled_from([-1, 1, 4, 1 << 62]))
        elif kind == "swap":
            other = draw(st.integers(0, len(entries) - 1))
            value["data_offsets"] = list(entries[other][1]["data_offsets"])
        elif kind == "name":
            name = draw(st.text(max_size=5))
        elif kind == "again":
            entries.append((name, value))
        elif kind == "reorder":
            entries.reverse()
        else:
            value[draw(st.sampled_from(["x", "dtype"]))] = draw(st.sampled_from(["F32", 0]))
        if kind != "reorder":
            entries[at] = name, value
    whole = bytearray(packed(spelled(entries, padding), data))
    for _ in range(draw(st.integers(0, 1))):
        kind = draw(st.sampled_from(["flip", "cut", "insert", "length"]))
        at = draw(st.integers(0, len(whole) - 1))
        if kind == "flip":
            whole[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del whole[at:]
        elif kind == "insert":
            whole[at:at] = draw(st.binary(min_size=1, max_size=3))
        else:
            whole[0] ^= draw(st.integers(1, 255))
    return bytes(whole)


@settings(max_examples=400)
@given(mutated())
def test_what_passes_here_opens_in_safetensors_and_what_fails_there_fails_here(data: bytes) -> None:
    try:
        leaves, _ = checked(data)
    except CheckpointError as error:
        assert all(problem.must and problem.got and problem.where for problem in error.problems)
        assert not re.search(r"Traceback|Error\b", str(error))
        return
    theirs = safetensors.torch.load(data)  # raises if safetensors refuses the file or a tensor
    assert {leaf.name: list(leaf.shape) for leaf in leaves} == {name: list(t.shape) for name, t in theirs.items()}
    for leaf in leaves:
        own = data[leaf.offset : leaf.offset + leaf.nbytes]
        assert own == bytes(theirs[leaf.name].contiguous().reshape(-1).view(torch.uint8).tolist())


@settings(max_examples=100)
@given(files(), st.sampled_from(["", " ", "\n"]))
def test_unmutated_files_pass(built: tuple[list[tuple[str, dict[str, Any]]], bytes], padding: str) -> None:
    entries, data = built
    leaves, _ = checked(packed(spelled(entries, padding), data))
    assert len(leaves) == len(entries)


@settings(max_examples=400)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_nothing_but_a_checkpoint_error(data: bytes) -> None:
    for whole in (data, packed(data), packed(b"{" + data)):
        try:
            checked(whole)
        except CheckpointError:
            continue
        safetensors.deserialize(whole)
