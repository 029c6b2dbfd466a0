"""Writing: the whole checkpoint under its final name, or nothing; the same input, the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from merging_core.checkpoints.dtypes import dtype_name
from merging_core.checkpoints.growing import check_target
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.errors import CheckpointError, NonFiniteError, PlanError
from tests.checkpoints.build import opened

ROOT = Path(__file__).resolve().parents[2]


def specs(tensors: dict[str, torch.Tensor]) -> list[LeafSpec]:
    return [LeafSpec(name, dtype_name(tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()]


def some() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "embed": torch.randn(3, 2, generator=generator),
        "layers.2.w": torch.randn(2, 3, generator=generator).T,
        "layers.10.w": torch.randn(5, generator=generator).bfloat16(),
        "mask": torch.tensor([True, False, True]),
        "position_ids": torch.arange(3),
        "scale": torch.tensor(0.5),
        "zero": torch.empty(0, 4, dtype=torch.float16),
    }


def written(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **more: bool) -> Path:
    tensors = some() if tensors is None else tensors
    return write_checkpoint(folder, tensors.items(), specs(tensors), {"model_type": "vit"}, **more)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_was_written_is_read_by_us_and_by_safetensors(tmp_path: Path) -> None:
    tensors = some()
    extra = {"README.md": "# merged\n", "recipe.json": "{}"}
    folder = write_checkpoint(
        tmp_path / "out", tensors.items(), specs(tensors), {"model_type": "vit"}, extra=extra, metadata={"by": "Basin"}
    )
    assert names(folder) == ["README.md", "config.json", "model.safetensors", "recipe.json"]
    theirs = load_file(folder / "model.safetensors")
    ours = opened(folder)
    for name, tensor in tensors.items():
        assert torch.equal(theirs[name], tensor) and torch.equal(ours.read(name), tensor)
        assert theirs[name].dtype == tensor.dtype and ours.leaves[name].shape == tuple(tensor.shape)
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "by": "Basin"}
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "vit"}
    assert names(tmp_path) == ["out"]


def test_the_header_is_aligned_and_every_leaf_starts_at_a_multiple_of_its_element_size(tmp_path: Path) -> None:
    tensors = some()
    data = (written(tmp_path / "out", tensors) / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0 and data[8 : 8 + length].rstrip(b" ").endswith(b"}")
    for leaf in opened(tmp_path / "out").leaves.values():
        assert leaf.offset % tensors[leaf.name].element_size() == 0


def test_leaves_of_one_dtype_lie_in_natural_order(tmp_path: Path) -> None:
    tensors = {name: torch.zeros(2) for name in ("layers.10.w", "layers.9.w", "embed")}
    header = (written(tmp_path / "out", tensors) / "model.safetensors").read_bytes()
    assert header.index(b"embed") < header.index(b"layers.9.") < header.index(b"layers.10.")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (written(tmp_path / name) for name in ("one", "two"))
    for name in names(one):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_transformers_opens_what_was_written(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = ViTModel(ViTConfig(**sizes, image_size=8, patch_size=4))
    tensors = dict(model.state_dict())
    write_checkpoint(tmp_path / "out", tensors.items(), specs(tensors), model.config.to_dict())
    again = ViTModel.from_pretrained(tmp_path / "out")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in tensors.items())


def test_a_taken_target_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = written(tmp_path / "out")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(PlanError, match="out: the output folder is new or empty, but a folder that holds files"):
        written(folder, {"w": torch.ones(1)})
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(folder)
    for name in ("file", "link"):
        with pytest.raises(PlanError, match="a file or a link of that name"):
            written(tmp_path / name, overwrite=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_overwriting_replaces_a_checkpoint_as_a_whole_and_nothing_else(tmp_path: Path) -> None:
    folder = written(tmp_path / "out")
    (folder / "old.txt").write_text("old")
    written(folder, {"w": torch.ones(1)}, overwrite=True)
    assert names(folder) == ["config.json", "model.safetensors"] and list(opened(folder).leaves) == ["w"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(PlanError, match="only a checkpoint folder is overwritten"):
        written(tmp_path / "home", overwrite=True)
    (folder / "sub").mkdir()
    with pytest.raises(PlanError, match="only a checkpoint folder is overwritten"):
        written(folder, overwrite=True)
    assert names(tmp_path) == ["home", "out"]


def test_an_empty_folder_is_a_free_target(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert "model.safetensors" in names(written(tmp_path / "out"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": torch.ones(2)}, "the next leaf is b, F32 [1], but the end came"),
        ({"b": torch.ones(1), "a": torch.ones(2)}, "the next leaf is a, F32 [2], but b, F32 [1] came"),
        ({"a": torch.ones(3), "b": torch.ones(1)}, "the next leaf is a, F32 [2], but a, F32 [3] came"),
        ({"a": torch.ones(2).half(), "b": torch.ones(1)}, "the next leaf is a, F32 [2], but a, F16 [2] came"),
        ({"a": torch.ones(2), "b": torch.ones(1), "c": torch.ones(1)}, "2 leaves come, but one more, c, came"),
    ],
)
def test_leaves_that_are_not_as_announced_leave_nothing_behind(
    given: dict[str, torch.Tensor], said: str, tmp_path: Path
) -> None:
    announced = [LeafSpec("a", "F32", (2,)), LeafSpec("b", "F32", (1,))]
    with pytest.raises(CheckpointError) as refused:
        write_checkpoint(tmp_path / "out", given.items(), announced, {})
    assert said in str(refused.value)
    assert names(tmp_path) == []


def test_a_result_that_is_not_finite_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    overflow = torch.tensor([1.0, 1e30]).half()
    with pytest.raises(NonFiniteError, match="w: every element is finite, but 0 NaN and 1 infinite of 2"):
        written(tmp_path / "out", {"v": torch.ones(3), "w": overflow})
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_whatever_stops_the_leaves_leaves_nothing_behind_and_the_older_checkpoint_whole(
    error: type[BaseException], tmp_path: Path
) -> None:
    folder = written(tmp_path / "out")
    before = (folder / "model.safetensors").read_bytes()

    def stopped() -> Iterator[tuple[str, torch.Tensor]]:
        yield "a", torch.ones(2)
        raise error

    with pytest.raises(error):
        write_checkpoint(
            folder, stopped(), [LeafSpec("a", "F32", (2,)), LeafSpec("b", "F32", (1,))], {}, overwrite=True
        )
    assert (folder / "model.safetensors").read_bytes() == before
    assert names(tmp_path) == ["out"]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_small_disk_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1_000_000))
    read: list[str] = []

    def leaves() -> Iterator[tuple[str, torch.Tensor]]:
        read.append("a")
        yield "a", torch.zeros(1_000_000)

    with pytest.raises(PlanError, match=r"4\.40 MB free \(the output and a tenth\), but 1\.00 MB free came"):
        write_checkpoint(tmp_path / "out", leaves(), [LeafSpec("a", "F32", (1_000_000,))], {})
    assert read == [] and names(tmp_path) == []


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlanError, match="out: the output can be written, but a full disk came; nothing was left"):
        written(tmp_path / "out")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "config.json", "model.safetensors", "", ".hidden", "a\0"])
def test_extra_files_have_plain_names_of_their_own(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="an extra file has a plain name of its own"):
        write_checkpoint(tmp_path / "o", [("w", torch.ones(1))], [LeafSpec("w", "F32", (1,))], {}, extra={name: "x"})


def test_leaf_names_that_the_reader_would_refuse_are_not_written(tmp_path: Path) -> None:
    for announced in ([LeafSpec("a b", "F32", (1,))], [LeafSpec("a", "F32", (1,))] * 2, []):
        with pytest.raises(CheckpointError):
            write_checkpoint(tmp_path / "out", [], announced, {})
    assert names(tmp_path) == []


CHILD = """
import sys, time, torch
from merging_core.checkpoints import LeafSpec, write_checkpoint
def leaves():
    for at in range(1000):
        print(at, flush=True)
        if at == 20:
            time.sleep(600)
        yield f"w{at}", torch.ones(1000)
write_checkpoint(sys.argv[1], leaves(), [LeafSpec(f"w{at}", "F32", (1000,)) for at in range(1000)], {}, overwrite=True)
"""


def test_a_killed_write_leaves_the_older_checkpoint_and_the_next_write_clears_up(tmp_path: Path) -> None:
    folder = written(tmp_path / "out")
    before = (folder / "model.safetensors").read_bytes()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        while child.stdout.readline().strip() != "20":
            assert child.poll() is None
        written(tmp_path / "out", overwrite=True)  # a second writer does not touch what the living one writes
        partial = [name for name in names(tmp_path) if ".partial-" in name]
        assert len(partial) == 1
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (folder / "model.safetensors").read_bytes() == before
    assert [name for name in names(tmp_path) if ".partial-" in name] == partial
    written(tmp_path / "out", overwrite=True)
    assert names(tmp_path) == ["out"]


def test_a_name_that_no_folder_can_have_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="the output can be written, but “File name too long” came; nothing was left"):
        written(tmp_path / ("x" * 300))
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlanError, match="out: the output can be written"):
        written(tmp_path / "file" / "out")
    assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_no_new_parents_and_keeps_old_ones(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(NonFiniteError):
        written(tmp_path / "old" / "new" / "out", {"w": torch.tensor([float("nan")])})
    assert names(tmp_path / "old") == []
    assert names(written(tmp_path / "old" / "new" / "out"))[0] == "config.json"


def test_a_path_that_climbs_is_where_it_leads(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=f"{tmp_path.name}: the output folder is new or empty"):
        (tmp_path / "file").write_text("x")
        written(tmp_path / "none" / "..")
    assert names(tmp_path) == ["file"]
    assert written(tmp_path / "none" / ".." / "out") == tmp_path / "out"


def test_a_target_can_be_asked_about_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(tmp_path / "a" / "b", 1000)
    assert names(tmp_path) == []
    written(tmp_path / "out")
    with pytest.raises(PlanError, match="a folder that holds files"):
        check_target(tmp_path / "out", 0)
    check_target(tmp_path / "out", 0, overwrite=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1_000_000))
    with pytest.raises(PlanError, match="1.00 MB free came"):
        check_target(tmp_path / "a" / "b", 1_000_000)
