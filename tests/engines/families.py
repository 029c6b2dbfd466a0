"""The smallest models of many families, built by transformers from random numbers that float32 adds without rounding.

Every weight is a whole number of 4096ths, so sums, halves and means of two are exact and a merge has one right answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf

SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
GROUPED = {**SIZES, "num_key_value_heads": 1}
WORDS = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
IMAGE = {"image_size": 8, "patch_size": 4}
IMAGE_TOKEN = 19
TEXT = torch.tensor([[1, 5, 7, 3, 9, 2]])
PICTURE = torch.linspace(-1, 1, 3 * 8 * 8).view(1, 3, 8, 8)

Inputs = Mapping[str, torch.Tensor]
Stacks = Mapping[str, tuple[str, int]]
"""By the name of a stack: what the names of its blocks begin with in a file, and how many there are."""


@dataclass(frozen=True)
class Example:
    """One model class of a family."""

    build: Callable[[], Any]
    inputs: Inputs
    stacks: Stacks
    before: tuple[str, ...]
    """What the names of the leaves before the blocks hold."""
    tied: tuple[str, ...] = ()
    """Leaves of the module that are another's, and in no file."""


def of(model: Any, config: Any) -> Callable[[], Any]:
    return lambda: model(config)


def decoder(model: Any, config: Any, tied: bool = False, **more: Any) -> Example:
    """A language model of one stack."""
    stacks = {"blocks": ("model.layers.", 2)}
    build = of(model, config(**GROUPED, **WORDS, tie_word_embeddings=tied, **more))
    return Example(build, {"input_ids": TEXT}, stacks, ("embed_tokens",), ("lm_head.weight",) if tied else ())


def clip() -> Any:
    text = {**SIZES, "vocab_size": 20, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**SIZES, **IMAGE, "num_hidden_layers": 3}
    return hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=4))


def whisper() -> Any:
    ends = {"encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "encoder_layers": 2, "decoder_layers": 3}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    lengths = {"num_mel_bins": 4, "max_source_positions": 8, "max_target_positions": 8}
    return hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(d_model=8, decoder_start_token_id=1, **ends, **heads, **lengths, **WORDS)
    )


def llava() -> Any:
    vision = hf.CLIPVisionConfig(**{**SIZES, "num_hidden_layers": 3}, **IMAGE)
    text = hf.LlamaConfig(**GROUPED, **WORDS)
    return hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
    )


def qwen2_vl() -> Any:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 0], "rope_theta": 1e4}
    vision = {"depth": 3, "embed_dim": 8, "hidden_size": 8, "num_heads": 2, "patch_size": 2, "mlp_ratio": 2}
    marks = {
        "image_token_id": IMAGE_TOKEN,
        "video_token_id": 18,
        "vision_start_token_id": 17,
        "vision_end_token_id": 16,
    }
    return hf.Qwen2VLForConditionalGeneration(
        hf.Qwen2VLConfig(text_config={**GROUPED, **WORDS, "rope_parameters": rope}, vision_config=vision, **marks)
    )


POSITIONS = {"vocab_size": 20, "max_position_embeddings": 16}
T5 = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2, "vocab_size": 20}
BOTH = {"input_ids": TEXT, "decoder_input_ids": TEXT}
SEEN = {"input_ids": torch.tensor([[1, *[IMAGE_TOKEN] * 4, 5, 2]]), "pixel_values": PICTURE}
PATCHES = {
    "input_ids": torch.tensor([[1, 17, *[IMAGE_TOKEN] * 4, 16, 5]]),
    "mm_token_type_ids": torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0]]),
    "pixel_values": torch.linspace(-1, 1, 16 * 24).view(16, 24),
    "image_grid_thw": torch.tensor([[1, 4, 4]]),
}

FAMILIES: dict[str, Example] = {
    "Llama": decoder(hf.LlamaForCausalLM, hf.LlamaConfig),
    "Llama, tied": decoder(hf.LlamaForCausalLM, hf.LlamaConfig, tied=True),
    "Mistral": decoder(hf.MistralForCausalLM, hf.MistralConfig),
    "Qwen 2": decoder(hf.Qwen2ForCausalLM, hf.Qwen2Config, tied=True),
    "Qwen 3": decoder(hf.Qwen3ForCausalLM, hf.Qwen3Config, head_dim=4),
    "Gemma": decoder(hf.GemmaForCausalLM, hf.GemmaConfig, tied=True, head_dim=4),
    "Gemma 3": decoder(hf.Gemma3ForCausalLM, hf.Gemma3TextConfig, tied=True, head_dim=4),
    "Phi": decoder(hf.PhiForCausalLM, hf.PhiConfig),
    "Phi 3": decoder(hf.Phi3ForCausalLM, hf.Phi3Config),
    "Mixtral": decoder(hf.MixtralForCausalLM, hf.MixtralConfig, num_local_experts=3, num_experts_per_tok=2),
    "GPT-2": Example(
        of(hf.GPT2LMHeadModel, hf.GPT2Config(n_embd=8, n_layer=2, n_head=2, n_positions=16, **WORDS)),
        {"input_ids": TEXT}, {"blocks": ("transformer.h.", 2)}, ("wte", "wpe"), ("lm_head.weight",),
    ),
    "BERT": Example(
        of(hf.BertForMaskedLM, hf.BertConfig(**SIZES, **POSITIONS)), {"input_ids": TEXT},
        {"encoder": ("bert.encoder.layer.", 2)}, ("embeddings",),
        ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
    ),
    "BERT, a classifier": Example(
        of(hf.BertForSequenceClassification, hf.BertConfig(**SIZES, **POSITIONS)), {"input_ids": TEXT},
        {"encoder": ("bert.encoder.layer.", 2)}, ("embeddings",),
    ),
    "RoBERTa": Example(
        of(hf.RobertaForMaskedLM, hf.RobertaConfig(**SIZES, **WORDS, max_position_embeddings=16)), {"input_ids": TEXT},
        {"encoder": ("roberta.encoder.layer.", 2)}, ("embeddings",), ("lm_head.decoder.weight", "lm_head.decoder.bias"),
    ),
    "T5": Example(
        of(hf.T5ForConditionalGeneration, hf.T5Config(**T5)), BOTH,
        {"encoder": ("encoder.block.", 2), "decoder": ("decoder.block.", 3)}, ("shared",),
        ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"),
    ),
    "ViT": Example(
        of(hf.ViTForImageClassification, hf.ViTConfig(**SIZES, **IMAGE)), {"pixel_values": PICTURE},
        {"encoder": ("vit.encoder.layer.", 2)}, ("embeddings",),
    ),
    "CLIP": Example(
        clip, {"input_ids": TEXT, "pixel_values": PICTURE},
        {"text": ("text_model.encoder.layers.", 2), "vision": ("vision_model.encoder.layers.", 3)},
        ("embedding", "pre_layrnorm"),
    ),
    "Whisper": Example(
        whisper, {"input_features": torch.linspace(-1, 1, 4 * 16).view(1, 4, 16), "decoder_input_ids": TEXT},
        {"encoder": ("model.encoder.layers.", 2), "decoder": ("model.decoder.layers.", 3)},
        ("embed_", "conv"), ("proj_out.weight",),
    ),
    "LLaVA": Example(
        llava, SEEN,
        {"text": ("language_model.model.layers.", 2), "vision": ("vision_tower.encoder.layers.", 3)},
        ("embed", "pre_layrnorm"),
    ),
    "Qwen 2 VL": Example(
        qwen2_vl, PATCHES, {"blocks": ("model.layers.", 2), "vision": ("visual.blocks.", 3)}, ("embed",)
    ),
}  # fmt: skip


def model_of(name: str, seed: int) -> Any:
    """Return a model of the family, its weights random 4096ths."""
    model = FAMILIES[name].build().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randint(-2048, 2049, weight.shape, generator=generator) / 4096)
    return model


def saved(model: Any, folder: Path) -> str:
    """Save a model as transformers does; return its reference."""
    model.save_pretrained(folder)
    return f"file:{folder}"
