"""What lies beside the weights: passed on as bytes where it is small and a regular file, and never otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import save_file

from merging_core.checkpoints import companions
from merging_core.checkpoints.companions import companions_of
from merging_core.checkpoints.reader import open_checkpoint
from merging_core.checkpoints.ref import Ref


def test_tokenizer_and_preprocessing_are_found_and_links_pipes_and_large_files_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    (tmp_path / "secret").write_text("secret")
    (folder / "vocab.json").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "merges.txt")
    (folder / "tokenizer.json").write_bytes(b"{}")
    (folder / "preprocessor_config.json").write_bytes(b"not even JSON")
    (folder / "generation_config.json").write_bytes(b"x" * (companions.COMPANIONS["generation_config.json"] + 1))
    (folder / "modeling.py").write_text("raise SystemExit")
    ref = Ref("file", str(folder))
    assert companions_of(open_checkpoint(folder, ref)) == {}
    (folder / "config.json").write_text('{"model_type": "x"}')
    found = companions_of(open_checkpoint(folder, ref))
    assert found == {"tokenizer.json": b"{}", "preprocessor_config.json": b"not even JSON"}
