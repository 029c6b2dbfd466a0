"""Tiny models made and saved by transformers itself, with tokenizers that know a few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import logging

WORDS = ("<pad>", "<s>", "</s>", "?", "a", "photo", "of", "the", "cat", "dog", "owl", "red", "big", ".", "runs", "sees")


def made(kind: type[PreTrainedModel], config: PretrainedConfig, seed: int = 0) -> PreTrainedModel:
    """Return a model with random leaves, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config).eval()
        with torch.no_grad():
            for name, leaf in model.named_parameters():
                leaf.normal_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, 0.3)
    return model


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """Save a model as transformers does, without its progress bar."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    if bars:
        logging.enable_progress_bar()
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def write_tokenizer(folder: Path, *, around: bool = True, start: bool = False) -> Tokenizer:
    """Write a tokenizer of whole words: `around` puts <s> and </s> around a text, `start` only <s> before it."""
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    if around or start:
        end = " </s>" if around else ""
        tokenizer.post_processor = TemplateProcessing(
            single=f"<s> $A{end}", pair="<s> $A </s> $B:1 </s>:1" if around else None,
            special_tokens=[("<s>", 1), ("</s>", 2)],
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer
