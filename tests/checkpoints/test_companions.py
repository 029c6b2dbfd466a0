"""What lies beside the weights: passed on as bytes where it is small and a regular file, and never otherwise."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from transformers import utils
from transformers.utils import hub

from merging_core.checkpoints import companions, templates
from merging_core.checkpoints.companions import companions_of
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.reader import open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.writer import write_checkpoint


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


def test_every_file_that_a_tokenizer_of_transformers_reads_is_passed_on() -> None:
    root = Path(transformers.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in root.glob("models/*/tokenization_*.py")]
    tables = [table for text in texts for table in re.findall(r"VOCAB_FILES_NAMES = \{(.*?)\}", text, re.DOTALL)]
    said = {name for table in tables for name in re.findall(r': *"([^"]+)"', table)}
    assert len(said) > 20 and said <= companions.COMPANIONS.keys()
    others = [getattr(hub, name) for name in ("CHAT_TEMPLATE_FILE", "LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE")]
    others += [value for name, value in vars(utils).items() if name.endswith(("TOKENIZER_NAME", "PROCESSOR_NAME"))]
    others += [utils.FEATURE_EXTRACTOR_NAME, utils.GENERATION_CONFIG_NAME]
    assert len(others) > 5 and set(others) <= companions.COMPANIONS.keys()
    assert templates.TEMPLATES == hub.CHAT_TEMPLATE_DIR


def test_named_chat_templates_are_passed_on_and_what_leads_elsewhere_is_not(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    inside = folder / templates.TEMPLATES
    inside.mkdir(parents=True)
    elsewhere.mkdir()
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "x"}')
    for place in (inside, elsewhere):
        (place / "rag.jinja").write_bytes(b"{{ documents }}")
    (inside / "tools.jinja").symlink_to(elsewhere / "rag.jinja")
    (inside / "a b.jinja").write_bytes(b"")
    (inside / "code.py").write_bytes(b"")
    opened = open_checkpoint(folder, Ref("file", str(folder)))
    assert companions_of(opened) == {f"{templates.TEMPLATES}/rag.jinja": b"{{ documents }}"}
    inside.rename(tmp_path / "moved")
    inside.symlink_to(elsewhere)
    assert companions_of(opened) == {}


def test_a_written_folder_has_them_and_transformers_reads_them(tmp_path: Path) -> None:
    words = {"[UNK]": 0, "a": 1}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    extra = {
        "tokenizer.json": json.dumps({"version": "1.0", "model": model, "added_tokens": []}),
        "tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}),
        "chat_template.jinja": "{{ messages }}",
        f"{templates.TEMPLATES}/rag.jinja": "{{ documents }}",
    }
    config = {"model_type": "bert"}
    for _ in range(2):  # the second takes the place of the first, with its folder
        leaves = [("w", torch.ones(2))]
        out = write_checkpoint(
            tmp_path / "out", leaves, [LeafSpec("w", "F32", (2,))], config, extra=extra, overwrite=True
        )
    read = transformers.PreTrainedTokenizerFast.from_pretrained(out, local_files_only=True)
    assert read.chat_template == {"default": "{{ messages }}", "rag": "{{ documents }}"}
    assert set(templates.folder_files(out)) == {*extra, "config.json", "model.safetensors"}
