"""Symmetries by name: for each family of architectures, which unit every axis of every leaf belongs to.

A template is data: names of leaves, each with a class for every axis, None where an axis keeps its order (tokens,
positions, classes, pixels). A leaf that no rule names keeps its order too. What a template claims is not believed
before it is certified (`certificate`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from merging_core.alignment.symmetry import AxisClass, Free, Group, Heads, Site, Symmetry
from merging_core.errors import Problem, SpaceError

__all__ = ["by_name"]

Shapes = Mapping[str, tuple[int, ...]]
_STREAM, _PARTS = "stream", ("queries", "keys", "values", "outputs")
_Axis = str | tuple[str, ...] | None
"""The class of an axis, `{}` standing for the layer; several where an axis holds one after the other."""


@dataclass(frozen=True)
class _Rule:
    """Leaves whose name ends like this, `{}` standing for the layer, and the class of each axis, from the last one."""

    leaf: str
    axes: tuple[_Axis, ...]


@dataclass(frozen=True)
class _Template:
    """A family. `takes`: what reads the residual stream at the end; without it the stream is what the model gives."""

    rules: tuple[_Rule, ...]
    takes: tuple[str, ...]
    rotary: bool = False
    heads: str = "num_attention_heads"
    width: str = "hidden_size"


def by_name(config: Mapping[str, Any], shapes: Shapes) -> Symmetry:
    """Return the symmetries that the template of a configuration's `model_type` claims for leaves of these shapes.

    Raises SpaceError where there is no template, or heads do not divide a leaf.
    """
    kind = config.get("model_type")
    if kind == "basin_mlp":
        return _perceptron(shapes)
    if kind == "basin_cnn":
        return _convolutional(shapes)
    template = _templates().get(str(kind))
    if template is None:
        must, fix = (
            "there is a template for the architecture",
            f"known are: basin_mlp, basin_cnn, {', '.join(_templates())}",
        )
        raise SpaceError(Problem(must, str(kind)[:60], "config.json: model_type", fix))
    classes = _classes(template, shapes)
    if not any(_matches(leaf, name) is not None for leaf in template.takes for name in shapes):
        classes.pop(_STREAM, None)
    return Symmetry(_grouped(template, config, classes))


def _perceptron(shapes: Shapes) -> Symmetry:
    count = sum(name.endswith(".weight") for name in shapes)
    groups = []
    for index in range(count - 1):
        sites = (Site(f"layers.{index}.weight", 0), Site(f"layers.{index}.bias", 0),
                 Site(f"layers.{index + 1}.weight", 1))  # fmt: skip
        groups.append(Free(AxisClass(f"hidden {index}", shapes[f"layers.{index}.weight"][0], sites)))
    return Symmetry(tuple(groups))


def _convolutional(shapes: Shapes) -> Symmetry:
    """The channels of each block: what its convolution writes, its normalisation, and what is read next."""
    count = sum(name.endswith(".conv.weight") for name in shapes)
    groups = []
    for index in range(count):
        norm = f"blocks.{index}.norm"
        after = "head.weight" if index == count - 1 else f"blocks.{index + 1}.conv.weight"
        sites = (Site(f"blocks.{index}.conv.weight", 0), Site(f"{norm}.weight", 0), Site(f"{norm}.bias", 0),
                 Site(f"{norm}.running_mean", 0, compared=False), Site(f"{norm}.running_var", 0, compared=False),
                 Site(after, 1))  # fmt: skip
        groups.append(Free(AxisClass(f"channels {index}", shapes[f"{norm}.weight"][0], sites)))
    return Symmetry(tuple(groups))


def _classes(template: _Template, shapes: Shapes) -> dict[str, AxisClass]:
    """Return what the rules say of these leaves, class by class."""
    sizes: dict[str, int] = {}
    sites: dict[str, list[Site]] = {}
    for name, shape in shapes.items():
        for rule in template.rules:
            layer = _matches(rule.leaf, name)
            if layer is None:
                continue
            first = len(shape) - len(rule.axes)
            for axis, entry in enumerate(rule.axes, max(first, 0)):
                parts = () if entry is None else (entry,) if isinstance(entry, str) else entry
                for place, part in enumerate(parts):
                    units, size = part.format(layer), shape[axis] // len(parts)
                    sizes.setdefault(units, size)
                    sites.setdefault(units, []).append(Site(name, axis, place * size))
            break
    return {name: AxisClass(name, sizes[name], tuple(sites[name])) for name in sites}


def _grouped(template: _Template, config: Mapping[str, Any], classes: Mapping[str, AxisClass]) -> tuple[Group, ...]:
    """Tie the classes of each attention together; every other class is free."""
    groups: list[Group] = []
    for name, units in classes.items():
        stem, _, part = name.rpartition(" ")
        if part not in _PARTS:
            groups.append(Free(units))
        elif part == _PARTS[0]:
            queries, keys, values, outputs = (classes[f"{stem} {each}"] for each in _PARTS)
            heads = int(config.get(template.heads) or 12)
            shared = int(config.get("num_key_value_heads") or heads)
            if heads % shared or queries.size % heads or keys.size % shared or values.size % shared:
                must = f"{heads} heads divide {queries.size} queries, and {shared} divide {keys.size} keys"
                raise SpaceError(Problem(must, "others", stem, "check the configuration's numbers of heads"))
            groups.append(Heads(stem, heads, shared, queries, keys, values, outputs, template.rotary))
    return tuple(groups)


def _matches(pattern: str, name: str) -> str | None:
    """Return the layer in a name that ends like a pattern, or "" where the pattern has none; None if it does not.

    >>> _matches("layers.{}.norm.weight", "model.layers.3.norm.weight"), _matches("norm.weight", "lnorm.weight")
    ('3', None)
    """
    found = re.fullmatch(r"(?:.*\.)?" + re.escape(pattern).replace(r"\{\}", r"(\d+)"), name)
    return None if found is None else found.group(1) if found.groups() else ""


def _dense(leaf: str, outside: _Axis, inside: _Axis) -> tuple[_Rule, ...]:
    """Return the rules of a linear layer: weight [out, in] and bias."""
    return _Rule(f"{leaf}.weight", (outside, inside)), _Rule(f"{leaf}.bias", (outside,))


def _norm(leaf: str) -> tuple[_Rule, ...]:
    return _Rule(f"{leaf}.weight", (_STREAM,)), _Rule(f"{leaf}.bias", (_STREAM,))


def _attention(place: str, query: str, key: str, value: str, out: str) -> tuple[_Rule, ...]:
    """Return the rules of an attention whose four layers lie at one place."""
    queries, keys, values, outputs = (f"attention {{}} {part}" for part in _PARTS)
    return (
        *_dense(place + query, queries, _STREAM),
        *_dense(place + key, keys, _STREAM),
        *_dense(place + value, values, _STREAM),
        *_dense(place + out, _STREAM, outputs),
    )


def _templates() -> dict[str, _Template]:
    """Return the templates by `model_type`; names of leaves are those that transformers writes."""
    clip = _Template(
        rules=(
            _Rule("embeddings.class_embedding", (_STREAM,)),
            _Rule("embeddings.patch_embedding.weight", (_STREAM, None, None, None)),
            _Rule("embeddings.position_embedding.weight", (None, _STREAM)),
            *_norm("pre_layrnorm"),
            *_norm("layers.{}.layer_norm1"),
            *_norm("layers.{}.layer_norm2"),
            *_attention("layers.{}.self_attn.", "q_proj", "k_proj", "v_proj", "out_proj"),
            *_dense("layers.{}.mlp.fc1", "inner {}", _STREAM),
            *_dense("layers.{}.mlp.fc2", _STREAM, "inner {}"),
            *_norm("post_layernorm"),
            _Rule("visual_projection.weight", (None, _STREAM)),
        ),
        takes=("visual_projection.weight",),
    )
    vit = _Template(
        rules=(
            _Rule("embeddings.cls_token", (None, None, _STREAM)),
            _Rule("embeddings.position_embeddings", (None, None, _STREAM)),
            _Rule("embeddings.patch_embeddings.projection.weight", (_STREAM, None, None, None)),
            _Rule("embeddings.patch_embeddings.projection.bias", (_STREAM,)),
            *_norm("layer.{}.layernorm_before"),
            *_norm("layer.{}.layernorm_after"),
            *_attention("layer.{}.attention.", "attention.query", "attention.key", "attention.value", "output.dense"),
            *_dense("layer.{}.intermediate.dense", "inner {}", _STREAM),
            *_dense("layer.{}.output.dense", _STREAM, "inner {}"),
            # The same layers as later versions of transformers spell them.
            *_norm("layers.{}.layernorm_before"),
            *_norm("layers.{}.layernorm_after"),
            *_attention("layers.{}.attention.", "q_proj", "k_proj", "v_proj", "o_proj"),
            *_dense("layers.{}.mlp.fc1", "inner {}", _STREAM),
            *_dense("layers.{}.mlp.fc2", _STREAM, "inner {}"),
            *_norm("layernorm"),
            _Rule("pooler.dense.weight", (None, _STREAM)),
            _Rule("classifier.weight", (None, _STREAM)),
        ),
        takes=("pooler.dense.weight", "classifier.weight"),
    )
    bert = _Template(
        rules=(
            _Rule("embeddings.word_embeddings.weight", (None, _STREAM)),
            _Rule("embeddings.position_embeddings.weight", (None, _STREAM)),
            _Rule("embeddings.token_type_embeddings.weight", (None, _STREAM)),
            *_norm("embeddings.LayerNorm"),
            *_attention("layer.{}.attention.", "self.query", "self.key", "self.value", "output.dense"),
            *_norm("layer.{}.attention.output.LayerNorm"),
            *_dense("layer.{}.intermediate.dense", "inner {}", _STREAM),
            *_dense("layer.{}.output.dense", _STREAM, "inner {}"),
            *_norm("layer.{}.output.LayerNorm"),
            _Rule("pooler.dense.weight", (None, _STREAM)),
            _Rule("classifier.dense.weight", (None, _STREAM)),
        ),
        takes=("pooler.dense.weight", "classifier.dense.weight"),
    )
    llama = _Template(
        rules=(
            _Rule("embed_tokens.weight", (None, _STREAM)),
            *_norm("layers.{}.input_layernorm"),
            *_norm("layers.{}.post_attention_layernorm"),
            *_attention("layers.{}.self_attn.", "q_proj", "k_proj", "v_proj", "o_proj"),
            *_dense("layers.{}.mlp.gate_proj", "inner {}", _STREAM),
            *_dense("layers.{}.mlp.up_proj", "inner {}", _STREAM),
            *_dense("layers.{}.mlp.down_proj", _STREAM, "inner {}"),
            *_norm("norm"),
            _Rule("lm_head.weight", (None, _STREAM)),
        ),
        takes=("embed_tokens.weight",),
        rotary=True,
    )
    gpt2 = _Template(
        rules=(
            _Rule("wte.weight", (None, _STREAM)),
            _Rule("wpe.weight", (None, _STREAM)),
            *_norm("h.{}.ln_1"),
            *_norm("h.{}.ln_2"),
            _Rule("h.{}.attn.c_attn.weight", (_STREAM, tuple(f"attention {{}} {part}" for part in _PARTS[:3]))),
            _Rule("h.{}.attn.c_attn.bias", (tuple(f"attention {{}} {part}" for part in _PARTS[:3]),)),
            _Rule("h.{}.attn.c_proj.weight", ("attention {} outputs", _STREAM)),
            _Rule("h.{}.attn.c_proj.bias", (_STREAM,)),
            _Rule("h.{}.mlp.c_fc.weight", (_STREAM, "inner {}")),
            _Rule("h.{}.mlp.c_fc.bias", ("inner {}",)),
            _Rule("h.{}.mlp.c_proj.weight", ("inner {}", _STREAM)),
            _Rule("h.{}.mlp.c_proj.bias", (_STREAM,)),
            *_norm("ln_f"),
            _Rule("lm_head.weight", (None, _STREAM)),
        ),
        takes=("wte.weight",),
        heads="n_head",
    )
    return {
        "clip_vision_model": clip,
        "clip": clip,
        "vit": vit,
        "bert": bert,
        "roberta": bert,
        "llama": llama,
        "mistral": llama,
        "qwen2": llama,
        "gpt2": gpt2,
    }
