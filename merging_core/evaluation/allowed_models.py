"""Which models of transformers may be built, and which keys of their configurations reach it.

A key that is not listed has no effect; one that is listed has a type and a range. So a configuration that a stranger
wrote cannot name code, kernels or other repositories, nor ask for more memory than its leaves have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation.config_reader import ConfigReader, is_number, is_whole

__all__ = ["AllowedModel", "allowed_model", "allowed_tower"]

_ROTARY = ("default", "linear", "llama3")
_ROTARY_NUMBERS = ("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
                   "partial_rotary_factor")  # fmt: skip
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish", "tanh")
_LAYERS = ("full_attention", "sliding_attention")


@dataclass(frozen=True)
class AllowedModel:
    """A model class of transformers and the values that its configuration gets.

    `width`: classes, or 0 for a language model; `vocabulary`, `longest`: of a model that reads text (`longest` is the
    most tokens it may read at once, 0 if it has no such limit); `padding`: the token that fills up a row; `segments`:
    whether it tells a first from a second text.
    """

    name: str
    config_class: str
    values: Mapping[str, Any]
    input_shape: tuple[int, int, int] = (0, 0, 0)
    width: int = 0
    vocabulary: int = 0
    longest: int = 0
    padding: int = 0
    segments: bool = False


@dataclass(frozen=True)
class _Family:
    """How one model type is spelled: its classes, and where it keeps what every family has."""

    config_class: str
    keys: tuple[str, ...]
    classifier: str = ""
    language_model: str = ""
    heads: str = "num_attention_heads"
    width: str = "hidden_size"
    longest: str = "max_position_embeddings"
    reserved: int = 0
    """Positions that are never used (RoBERTa begins after the padding token's)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)


def allowed_model(config: Mapping[str, Any], asked: str, classes: int | None = None) -> AllowedModel:
    """Return the model class that does what is asked (`text classes`, `next tokens`, `picture classes`).

    Raises EvaluationError for a model type that has none, with those that have, and with every key out of range.

    >>> found = allowed_model({"model_type": "gpt2", "n_embd": 72, "auto_map": {"AutoModel": "x"}}, "next tokens")
    >>> found.name, dict(found.values)
    ('GPT2LMHeadModel', {'n_embd': 72})
    """
    if asked == "picture classes":
        return _vit(config, classes)
    families = _families()
    kind = config.get("model_type")
    able = {
        name: family.classifier if asked == "text classes" else family.language_model
        for name, family in families.items()
        if (family.classifier if asked == "text classes" else family.language_model)
    }
    if not isinstance(kind, str) or kind not in able:
        what = "classifies text" if asked == "text classes" else "predicts text"
        fix = closest(kind if isinstance(kind, str) else "", able)
        raise EvaluationError(Problem(f"the architecture {what}", repr(kind)[:60], "config.json: model_type", fix))
    family = families[kind]
    read = ConfigReader(config)
    values = _values(read, family.keys)
    known = {**family.defaults, **values}
    if known[family.width] % known[family.heads]:
        read.refuse(family.width, "heads divide the width", f"{known[family.width]} and {known[family.heads]}")
    padding = known.get("pad_token_id")
    if padding is not None and not is_whole(padding, 0, known["vocab_size"] - 1):
        read.refuse("pad_token_id", "the padding token is in the vocabulary", str(padding))
    read.done()
    labels = {"num_labels": classes} if asked == "text classes" and classes is not None else {}
    return AllowedModel(
        name=able[kind],
        config_class=family.config_class,
        values={**values, **labels},
        width=classes or 0,
        vocabulary=known["vocab_size"],
        longest=known[family.longest] - family.reserved,
        padding=padding or 0,
        segments=kind == "bert",
    )


def allowed_tower(config: Mapping[str, Any], name: str) -> AllowedModel:
    """Return a tower of CLIP: `CLIPVisionModel`, `CLIPVisionModelWithProjection` or `CLIPTextModelWithProjection`.

    Raises EvaluationError with every key that is out of range.
    """
    text = name.startswith("CLIPText")
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
            "layer_norm_eps", "projection_dim")  # fmt: skip
    own = ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    read = ConfigReader(config)
    values = _values(read, keys + (own if text else ("num_channels", "image_size", "patch_size")))
    read.done()
    return AllowedModel(
        name=name,
        config_class="CLIPTextConfig" if text else "CLIPVisionConfig",
        values=values,
        width=values.get("projection_dim", 512),
        vocabulary=values.get("vocab_size", 49_408) if text else 0,
        longest=values.get("max_position_embeddings", 77) if text else 0,
    )


def _vit(config: Mapping[str, Any], classes: int | None) -> AllowedModel:
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
            "layer_norm_eps", "num_channels", "image_size", "patch_size", "qkv_bias")  # fmt: skip
    read = ConfigReader(config)
    values = _values(read, keys)
    heads, width = values.get("num_attention_heads", 12), values.get("hidden_size", 768)
    if width % heads:
        read.refuse("hidden_size", "heads divide the width", f"{width} and {heads}")
    read.done()
    side = values.get("image_size", 224)
    return AllowedModel(
        name="ViTForImageClassification",
        config_class="ViTConfig",
        values={**values, "num_labels": classes or 2},
        input_shape=(values.get("num_channels", 3), side, side),
        width=classes or 2,
    )


def _values(read: ConfigReader, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return those of the keys that the configuration states, checked."""
    found: dict[str, Any] = {}
    for key in keys:
        value = read.config.get(key)
        if value is None:
            continue
        if key in ("rope_scaling", "rope_parameters"):
            found[key] = _rotary(read, key, value)
        elif key == "layer_types":
            found[key] = _layer_types(read, value)
        elif key in _WHOLE:
            found[key] = read.whole(key, None, *_WHOLE[key])
        elif key in _NUMBERS:
            found[key] = read.number(key, 0.0, *_NUMBERS[key])
        elif key in ("hidden_act", "activation", "activation_function"):
            found[key] = read.choice(key, "", _ACTIVATIONS)
        else:
            found[key] = read.switch(key, False)
    return found


def _rotary(read: ConfigReader, key: str, value: Any) -> dict[str, Any]:
    """Return rotary settings of a known kind; older files call the kind `type`."""
    if not isinstance(value, Mapping):
        read.refuse(key, f"{key} is an object", repr(value)[:60])
        return {}
    kind = value.get("rope_type", value.get("type", "default"))
    if kind not in _ROTARY:
        read.refuse(f"{key}.rope_type", f"rotary positions are {', '.join(_ROTARY)}", repr(kind)[:60])
    found: dict[str, Any] = {"rope_type": kind}
    for name in _ROTARY_NUMBERS:
        number = value.get(name)
        if number is not None and not is_number(number, 0.0, 1e12):
            read.refuse(f"{key}.{name}", f"{name} is a number from 0 to 1e12", repr(number)[:60])
        elif number is not None:
            found[name] = number
    return found


def _layer_types(read: ConfigReader, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 256 or not all(one in _LAYERS for one in value):
        read.refuse("layer_types", f"layer_types are at most 256 of {', '.join(_LAYERS)}", repr(value)[:60])
        return []
    return list(value)


_TOKEN = (0, 1 << 20)
_WHOLE: Mapping[str, tuple[int, int]] = {
    "vocab_size": (2, 1 << 20), "hidden_size": (1, 16_384), "n_embd": (1, 16_384), "dim": (1, 16_384),
    "intermediate_size": (1, 131_072), "hidden_dim": (1, 131_072), "n_inner": (1, 131_072),
    "num_hidden_layers": (1, 256), "n_layer": (1, 256), "n_layers": (1, 256),
    "num_attention_heads": (1, 1_024), "n_head": (1, 1_024), "n_heads": (1, 1_024), "num_key_value_heads": (1, 1_024),
    "head_dim": (1, 4_096), "max_position_embeddings": (1, 1 << 21), "n_positions": (1, 4_096),
    "type_vocab_size": (1, 64), "projection_dim": (1, 16_384), "num_channels": (1, 64), "image_size": (1, 4_096),
    "patch_size": (1, 4_096), "sliding_window": (1, 1 << 21), "max_window_layers": (0, 256),
    "pad_token_id": _TOKEN, "bos_token_id": _TOKEN, "eos_token_id": _TOKEN,
}  # fmt: skip
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "layer_norm_eps": (0.0, 1.0), "layer_norm_epsilon": (0.0, 1.0), "rms_norm_eps": (0.0, 1.0),
    "rope_theta": (1.0, 1e12), "rotary_emb_base": (1.0, 1e12), "rotary_pct": (0.0, 1.0),
    "partial_rotary_factor": (0.0, 1.0),
}  # fmt: skip


def _families() -> dict[str, _Family]:
    encoder = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
               "hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps",
               "pad_token_id")  # fmt: skip
    decoder = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
               "intermediate_size", "hidden_act", "max_position_embeddings", "rms_norm_eps", "head_dim", "rope_theta",
               "rope_scaling", "rope_parameters", "attention_bias", "mlp_bias", "tie_word_embeddings",
               "bos_token_id", "eos_token_id", "pad_token_id")  # fmt: skip
    sliding = ("sliding_window", "use_sliding_window", "max_window_layers", "layer_types")
    bert = {"hidden_size": 768, "num_attention_heads": 12, "max_position_embeddings": 512, "vocab_size": 30_522,
            "pad_token_id": 0}  # fmt: skip
    roberta = {**bert, "vocab_size": 50_265, "pad_token_id": 1}
    llama = {"hidden_size": 4_096, "num_attention_heads": 32, "max_position_embeddings": 2_048, "vocab_size": 32_000}
    qwen = {**llama, "max_position_embeddings": 32_768, "vocab_size": 151_936}
    return {
        "bert": _Family("BertConfig", encoder, classifier="BertForSequenceClassification", defaults=bert),
        "roberta": _Family("RobertaConfig", encoder, classifier="RobertaForSequenceClassification", reserved=2,
                           defaults=roberta),
        "xlm-roberta": _Family("XLMRobertaConfig", encoder, classifier="XLMRobertaForSequenceClassification",
                               reserved=2, defaults={**roberta, "vocab_size": 30_522}),
        "distilbert": _Family(
            "DistilBertConfig",
            ("vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "activation", "max_position_embeddings",
             "pad_token_id"),
            classifier="DistilBertForSequenceClassification", heads="n_heads", width="dim",
            defaults={"dim": 768, "n_heads": 12, "max_position_embeddings": 512, "vocab_size": 30_522,
                      "pad_token_id": 0},
        ),
        "gpt2": _Family(
            "GPT2Config",
            ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function",
             "layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
             "tie_word_embeddings"),
            language_model="GPT2LMHeadModel", heads="n_head", width="n_embd", longest="n_positions",
            defaults={"n_embd": 768, "n_head": 12, "n_positions": 1_024, "vocab_size": 50_257},
        ),
        "gpt_neox": _Family(
            "GPTNeoXConfig",
            ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
             "max_position_embeddings", "layer_norm_eps", "rotary_pct", "rotary_emb_base", "rope_parameters",
             "attention_bias", "use_parallel_residual", "tie_word_embeddings"),
            language_model="GPTNeoXForCausalLM",
            defaults={"hidden_size": 6_144, "num_attention_heads": 64, "max_position_embeddings": 2_048,
                      "vocab_size": 50_432},
        ),
        "llama": _Family("LlamaConfig", decoder, language_model="LlamaForCausalLM", defaults=llama),
        "mistral": _Family("MistralConfig", decoder + sliding, language_model="MistralForCausalLM",
                           defaults={**llama, "max_position_embeddings": 131_072}),
        "qwen2": _Family("Qwen2Config", decoder + sliding, language_model="Qwen2ForCausalLM", defaults=qwen),
        "qwen3": _Family("Qwen3Config", decoder + sliding, language_model="Qwen3ForCausalLM", defaults=qwen),
    }  # fmt: skip
