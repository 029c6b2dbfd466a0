"""Names with a module in front are those without it, where that is all that differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import SpaceError
from merging_core.space import build_space
from merging_core.space.naming import named_like


def model(folder: Path, name: str, prefix: str = "", **more: torch.Tensor) -> Checkpoint:
    path = folder / name
    path.mkdir()
    tensors = {"wte.weight": torch.arange(4.0), "h.0.w": torch.ones(2), "h.0.attn.bias": torch.ones(1, 1, 2, 2)}
    save_file({prefix + leaf: values for leaf, values in tensors.items()} | more, path / "model.safetensors")
    return open_checkpoint(path, Ref("file", str(path)), label=name)


@pytest.mark.parametrize(("ours", "theirs"), [("", "transformer."), ("transformer.", "")])
def test_a_module_in_front_of_all_names_is_no_difference(ours: str, theirs: str, tmp_path: Path) -> None:
    base = model(tmp_path, "base", ours)
    expert = model(tmp_path, "expert", theirs, counted=torch.arange(3))
    told = named_like(base, expert)
    assert set(told.leaves) - {theirs + "counted", ours + "counted", "counted"} == set(base.leaves)
    assert torch.equal(told.read(f"{ours}wte.weight"), torch.arange(4.0))
    assert told.content() == expert.content() and told.files == expert.files
    assert build_space(base, [expert]).size == 6
    told.check_twins()


def test_whatever_else_differs_is_told_by_the_names_in_the_file(tmp_path: Path) -> None:
    base = model(tmp_path, "base")
    expert = model(tmp_path, "expert", "transformer.", **{"lm_head.weight": torch.zeros(4)})
    assert named_like(base, expert) is expert
    with pytest.raises(SpaceError, match=r"expert: transformer\.wte\.weight: every leaf is in base too"):
        build_space(base, [expert])
    same = model(tmp_path, "same")
    assert named_like(base, same) is same
