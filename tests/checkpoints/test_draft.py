"""Writing in parts: anywhere, in any order, and on from where a process was killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.remains import remains
from merging_core.checkpoints.writer import drafting, write_checkpoint
from merging_core.errors import CheckpointError, PlanError, Problem

ROOT = Path(__file__).resolve().parents[2]
SPECS = [
    LeafSpec("a", "F32", (40, 10)),
    LeafSpec("b", "BF16", (333,)),
    LeafSpec("c", "I64", (3,)),
    LeafSpec("n", "F32", (0,)),
]
TENSORS = {
    "a": torch.arange(400.0).view(40, 10),
    "b": torch.arange(333).bfloat16(),
    "c": torch.tensor([1, 2, 3]),
    "n": torch.empty(0),
}


def whole(folder: Path, **more: int) -> dict[str, bytes]:
    made = write_checkpoint(folder, TENSORS.items(), SPECS, {"model_type": "vit"}, **more)
    return {path.name: path.read_bytes() for path in made.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("shard_bytes", [None, 1000])
def test_parts_in_any_order_give_the_bytes_of_a_checkpoint_that_is_written_at_once(
    shard_bytes: int | None, tmp_path: Path
) -> None:
    expected = whole(tmp_path / "one", **({} if shard_bytes is None else {"shard_bytes": shard_bytes}))
    parts = [
        (name, start, tensor.reshape(-1)[start : start + 7])
        for name, tensor in TENSORS.items()
        for start in range(0, tensor.numel(), 7)
    ]
    random.Random(1).shuffle(parts)
    with drafting(tmp_path / "two", SPECS, {"model_type": "vit"}, shard_bytes=shard_bytes) as draft:
        for name, start, values in parts:
            draft.write(name, start, values)
    assert {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()} == expected
    assert names(tmp_path) == ["one", "two"]


def test_a_draft_says_what_is_missing_and_does_not_end_well_without_it(tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match="every element of c is written, but nothing from 0 on came"),
        drafting(tmp_path / "out", SPECS, {}) as draft,
    ):
        assert draft.missing("a") == ((0, 400),) and draft.missing("n") == () and not draft.begun
        draft.write("a", 0, torch.zeros(10))
        draft.write("a", 20, torch.zeros(10))
        assert draft.missing("a") == ((10, 20), (30, 400)) and draft.begun
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "values", "said"),
    [
        (395, torch.zeros(6), "a holds 400 elements of F32, but 395 to 401 of F32"),
        (-1, torch.zeros(1), "but -1 to 0 of F32"),
        (0, torch.zeros(1).half(), "but 0 to 1 of F16"),
    ],
)
def test_what_is_not_of_the_leaf_is_refused(start: int, values: torch.Tensor, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=said), drafting(tmp_path / "out", SPECS, {}) as draft:
        draft.write("a", start, values)
    assert names(tmp_path) == []


CHILD = """
import sys, time, torch
from merging_core.checkpoints import draft
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.remains import remains
from merging_core.checkpoints.writer import drafting
draft._NOTED_EVERY = 64
values = torch.arange(4000.0)
with drafting(sys.argv[1], [LeafSpec("a", "F32", (4000,))], {}, identity=sys.argv[2]) as made:
    print("missing", sum(stop - start for start, stop in made.missing("a")), flush=True)
    for start, stop in made.missing("a"):
        for at in range(start, stop, 10):
            made.write("a", at, values[at : min(at + 10, stop)])
            print(at, flush=True)
            if at == int(sys.argv[3]):
                time.sleep(600)
"""


def child(folder: Path, identity: str, stays: int = -1) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), identity, str(stays)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def killed_at(folder: Path, identity: str, line: int) -> int:
    """Kill a writer when it has written so many parts; return how many elements it found missing."""
    process = child(folder, identity, 10 * (line - 1))
    assert process.stdout is not None
    with process.stdout:
        missing = int(process.stdout.readline().split()[1])
        for _ in range(line):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    return missing


def test_a_killed_draft_is_gone_on_with_by_the_same_work(tmp_path: Path) -> None:
    expected = write_checkpoint(tmp_path / "one", [("a", torch.arange(4000.0))], [LeafSpec("a", "F32", (4000,))], {})
    folder = tmp_path / "two"
    assert killed_at(folder, "work", 30) == 4000
    found = remains(folder)
    assert found is not None and found.nbytes > 0
    process = child(folder, "work")
    said = process.communicate()[0].split("\n")
    assert process.returncode == 0 and 0 < int(said[0].split()[1]) < 4000 - 100
    assert int(said[0].split()[1]) == round(4000 * (1.0 - found.share)) and remains(folder) is None
    assert (folder / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    assert names(folder) == ["model.safetensors"] and names(tmp_path) == ["one", "two"]


def test_what_was_written_is_noted_also_after_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError), drafting(tmp_path / "out", SPECS, {}, identity="work", shard_bytes=1000) as made:
        made.write("b", 0, TENSORS["b"][:100])
        assert remains(tmp_path / "out") is None
        monkeypatch.setattr("merging_core.checkpoints.draft._NOTED_SECONDS", 0.0)
        made.write("a", 0, TENSORS["a"].reshape(-1)[:50])
        found = remains(tmp_path / "out")
        assert found is not None and found.share == (2 * 100 + 4 * 50) / sum(spec.nbytes for spec in SPECS)
        raise PlanError(Problem("it ends here", "an end"))
    assert remains(tmp_path / "out") is None


def test_a_draft_that_is_still_written_is_nobody_elses(tmp_path: Path) -> None:
    with drafting(tmp_path / "out", SPECS, {}, identity="work") as mine:
        mine.write("a", 0, torch.zeros(400))
        with pytest.raises(PlanError), drafting(tmp_path / "out", SPECS, {}, identity="work") as other:
            assert other.missing("a") == ((0, 400),)
            raise PlanError(Problem("it ends here", "an end"))
        for name, tensor in TENSORS.items():
            mine.write(name, 0, tensor.reshape(-1))
    assert names(tmp_path) == ["out"]


def left_behind(folder: Path, identity: str) -> Path:
    """Leave what a killed process would: a copy, held by nobody, of a draft that was begun and noted."""
    copy = folder.parent / f".{folder.name}.partial-{'0' * 16}"
    with pytest.raises(KeyboardInterrupt), drafting(folder, SPECS, {}, identity=identity) as draft:
        draft.write("a", 0, torch.zeros(100))
        draft.note()
        (partial,) = (path for path in folder.parent.iterdir() if path.name.startswith(f".{folder.name}.partial-"))
        shutil.copytree(partial, copy)
        raise KeyboardInterrupt
    return copy


@pytest.mark.parametrize(
    ("file", "added", "missing"),
    [
        (".journal", b"1 100 200\nrubbish\n1 3 9 9\n1 390 401\n7 0 1\n1 200 30", ((200, 400),)),
        ("model.safetensors", b"x", ((0, 400),)),
    ],
)
def test_a_damaged_journal_is_read_as_far_as_it_goes_and_files_of_another_size_are_begun_anew(
    file: str, added: bytes, missing: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    copy = left_behind(tmp_path / "out", "work")
    with (copy / file).open("ab") as stream:
        stream.write(added)
    with drafting(tmp_path / "out", SPECS, {}, identity="work") as draft:
        assert draft.missing("a") == missing
        draft.write("a", 0, torch.zeros(400))
        draft.note()
        (journal,) = tmp_path.glob(".out.partial-*/.journal")
        assert journal.read_text().endswith("\n1 0 400\n") and "\0" not in journal.read_text()
        for name, tensor in TENSORS.items():
            draft.write(name, 0, tensor.reshape(-1))
    assert names(tmp_path) == ["out"]


def test_what_other_work_left_behind_is_removed(tmp_path: Path) -> None:
    left_behind(tmp_path / "out", "work")
    with drafting(tmp_path / "out", SPECS, {}, identity="other work") as draft:
        assert not draft.begun
        assert len(names(tmp_path)) == 1
        for name, tensor in TENSORS.items():
            draft.write(name, 0, tensor.reshape(-1))
    assert names(tmp_path) == ["out"]
