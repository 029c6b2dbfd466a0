"""What lies beside the weights: passed on as bytes where it is small and a regular file, and never otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
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


# What repositories of these families hold beside weights and configuration, by what is merged from them.
HELD = {
    "Llama 3": "tokenizer.json tokenizer_config.json special_tokens_map.json generation_config.json",
    "Llama 2, Gemma": "tokenizer.model tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json",
    "Mistral, Mixtral": "tekken.json tokenizer.json tokenizer_config.json chat_template.jinja generation_config.json",
    "Qwen 2, Qwen 3": "vocab.json merges.txt tokenizer.json tokenizer_config.json generation_config.json",
    "GPT-2, Phi": "vocab.json merges.txt tokenizer.json tokenizer_config.json added_tokens.json generation_config.json",
    "BERT": "vocab.txt tokenizer.json tokenizer_config.json",
    "RoBERTa, XLM-R": "vocab.json merges.txt sentencepiece.bpe.model tokenizer.json",
    "T5": "spiece.model tokenizer.json tokenizer_config.json generation_config.json",
    "DeBERTa": "spm.model tokenizer_config.json",
    "ViT": "preprocessor_config.json",
    "CLIP": "preprocessor_config.json tokenizer.json vocab.json merges.txt",
    "Whisper": "preprocessor_config.json normalizer.json vocab.json merges.txt tokenizer.json generation_config.json",
    "LLaVA": "processor_config.json preprocessor_config.json chat_template.json chat_template.jinja added_tokens.json",
    "Qwen 2 VL": "preprocessor_config.json video_preprocessor_config.json chat_template.json vocab.json",
}


@pytest.mark.parametrize("family", HELD)
def test_what_a_family_s_repositories_hold_is_passed_on_as_it_is(family: str, tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "x"}')
    held = {name: f"\0 {name} \xff".encode("latin-1") for name in HELD[family].split()}
    for name, data in held.items():
        (tmp_path / name).write_bytes(data)
    assert companions_of(open_checkpoint(tmp_path, Ref("file", str(tmp_path)))) == held
