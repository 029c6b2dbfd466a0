"""Which layer a leaf belongs to, and whether a LoRA adapter can hold its change as a product of two factors.

Files hold names and shapes, no classes; the names that transformers gives its layers tell the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.tied import tied_with

__all__ = ["all_modules", "holds_children", "is_tied", "is_turned", "module_of", "why_no_matrix"]

_TABLES = frozenset({"wte", "wpe", "shared", "relative_attention_bias"})
_WITH_HEAD = ("LM", "MaskedLM", "ForCausal", "ForConditionalGeneration", "ForPreTraining")
_TURNED_MODELS = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
_TURNED_LAYERS = frozenset({"c_attn", "c_proj", "c_fc", "q_attn"})


def module_of(name: str) -> str:
    """Return the layer that a leaf belongs to; empty where it belongs to the model itself.

    >>> module_of("layers.0.q_proj.weight"), module_of("logit_scale")
    ('layers.0.q_proj', '')
    """
    return name.rpartition(".")[0]


def why_no_matrix(leaf: LeafSpec) -> str:
    """Return why a leaf is not the matrix of a linear layer; empty if it is one.

    >>> why_no_matrix(LeafSpec("layers.0.q_proj.weight", "F32", (8, 8)))
    ''
    >>> [why_no_matrix(LeafSpec(name, "F32", (8, 8)[:n])) for name, n in (("embed_tokens.weight", 2), ("norm.bias", 1))]
    ['a table of embeddings', 'a vector']
    """
    module, _, last = leaf.name.rpartition(".")
    layer = module.rpartition(".")[2]
    if len(leaf.shape) < 2:  # noqa: PLR2004
        return "a vector" if leaf.shape else "a single number"
    if last != "weight" or not module:
        return "no weight of a linear layer"
    if "embed" in layer or layer in _TABLES:
        return "a table of embeddings"
    if len(leaf.shape) > 2:  # noqa: PLR2004
        return f"a tensor of {len(leaf.shape)} dimensions"
    return "" if min(leaf.shape) else "a matrix without elements"


def is_turned(module: str, config: Mapping[str, Any]) -> bool:
    """Say whether a layer holds its weight as [in, out], as those of GPT-2 do.

    >>> is_turned("h.0.attn.c_attn", {"model_type": "gpt2"}), is_turned("h.0.attn.c_attn", {"model_type": "gpt_neo"})
    (True, False)
    """
    return config.get("model_type") in _TURNED_MODELS and module.rpartition(".")[2] in _TURNED_LAYERS


def is_tied(name: str, config: Mapping[str, Any]) -> bool:
    """Say whether a model may use a leaf in two layers, of which an adapter would change one.

    A head is there unless the configuration names only classes without one.

    >>> is_tied("transformer.wte.weight", {"model_type": "gpt2"})
    True
    >>> is_tied("transformer.wte.weight", {"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"]})
    False
    """
    classes = config.get("architectures")
    named = [one for one in classes if isinstance(one, str)] if isinstance(classes, list) else []
    has_head = not named or any(part in one for one in named for part in _WITH_HEAD)
    return any(has_head or "embed_tokens" in other for other in tied_with(name, config))


def all_modules(names: Iterable[str]) -> frozenset[str]:
    """Return every module of a model, as its leaves tell them.

    >>> sorted(all_modules(["layers.0.q.weight", "scale"]))
    ['layers', 'layers.0', 'layers.0.q']
    """
    found = set[str]()
    for name in names:
        module = module_of(name)
        while module and module not in found:
            found.add(module)
            module = module_of(module)
    return frozenset(found)


def holds_children(names: Iterable[str]) -> frozenset[str]:
    """Return the modules that hold other modules.

    >>> sorted(holds_children(["a.b.weight", "a.c", "d.weight"]))
    ['', 'a']
    """
    found = {""}
    for name in names:
        parent = module_of(module_of(name))
        while parent:
            found.add(parent)
            parent = module_of(parent)
    return frozenset(found)
