"""Which models can be evaluated: an allowlist from a configuration to a pure function of weights and inputs.

A checkpoint's `config.json` was written by a stranger. Only the keys listed here are read, each with a type and a
range; everything else in it (`auto_map`, code, attention settings) has no effect. Vision transformers are pure
functions of ours; what reads text, and image models with a head of their own, are built by `transformers_models`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation import convolutional, multilayer_perceptron, vision_transformer
from merging_core.evaluation.allowed_models import allowed_model, allowed_tower
from merging_core.evaluation.config_reader import ConfigReader, is_whole
from merging_core.evaluation.convolutional import ConvolutionalShape
from merging_core.evaluation.multilayer_perceptron import PerceptronShape
from merging_core.evaluation.transformers_models import TransformersModel
from merging_core.evaluation.vision_transformer import CLIP, VIT, Layout, TransformerShape

__all__ = ["Architecture", "Asked", "Weights", "architecture", "fitting", "names_in"]

Weights = Mapping[str, torch.Tensor]
Shapes = Mapping[str, tuple[int, ...]]
Asked = Literal["pictures", "picture classes", "text classes", "next tokens"]
"""What a task needs: features of pictures, the model's own classes of pictures or texts, or the next token."""

_ACTIVATIONS = tuple(vision_transformer.activations())
_LISTED = 8


@dataclass(frozen=True)
class Architecture:
    """A model without its weights.

    `leaves`: names and shapes it needs. `input_shape`: (channels, side, side) of one image.
    `gives`: features for a head, logits, or what `language_model` says of each token. `width`: numbers per example.
    `forward(weights, inputs [n, …]) -> [n, …]` is pure and may run in many threads at once; images are
    `[n, channels, side, side]`, texts the rows that `token_rows` describes.
    `spelling(shapes of a file's leaves)`: its leaves' names in that file, where they differ.
    `projected`: features have passed CLIP's projection. `vocabulary`, `longest`: of a model that reads text.
    `head`: those of its leaves that a model of the same body without a task would lack.
    `together(stacked leaves [k, …], inputs [n, …]) -> [n, k, …]`: of k weights at once, where that is faster on a CPU.
    `statistics`: for each layer that batch normalisation follows, the leaves with mean and variance of what it writes.
    """

    name: str
    leaves: Shapes
    input_shape: tuple[int, int, int]
    gives: Literal["features", "logits", "tokens"]
    width: int
    forward: Callable[[Weights, torch.Tensor], torch.Tensor]
    reads: Literal["images", "tokens"] = "images"
    projected: bool = False
    vocabulary: int = 0
    longest: int = 0
    spelling: Callable[[Shapes], Mapping[str, str]] | None = None
    head: tuple[str, ...] = ()
    together: Callable[[Weights, torch.Tensor], torch.Tensor] | None = None
    statistics: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def architecture(config: Mapping[str, Any], asked: Asked = "pictures", classes: int | None = None) -> Architecture:
    """Return the architecture that a configuration describes, able to do what is asked.

    For pictures: `clip_vision_model` (CLIPVisionModel, or …WithProjection if `architectures` says so), `clip` (the
    vision tower and projection of CLIPModel), `vit` (ViTModel with its pooler; ViTForImageClassification for its own
    classes), `basin_mlp`, `basin_cnn`. For text: see `transformers_models`. `classes`: how many a head of its own has. Absent keys
    have the defaults of transformers. Raises EvaluationError with every key that is out of range.

    >>> architecture({"model_type": "llama"})
    Traceback (most recent call last):
    merging_core.errors.EvaluationError: config.json: model_type: the architecture is one that can be evaluated, but 'llama' came; known are: clip_vision_model, clip, vit, basin_mlp, basin_cnn.
    """  # noqa: E501
    kind = config.get("model_type")
    if asked in ("text classes", "next tokens") or (asked == "picture classes" and kind == "vit"):
        return _of_transformers(config, asked, classes)
    builders: dict[str, Callable[[Mapping[str, Any]], Architecture]] = {
        "clip_vision_model": _clip_tower,
        "clip": _whole_clip,
        "vit": partial(_transformer, VIT),
        "basin_mlp": _mlp,
        "basin_cnn": _convolutional,
    }
    if not isinstance(kind, str) or kind not in builders:
        must = "the architecture is one that can be evaluated"
        fix = closest(kind if isinstance(kind, str) else "", builders)
        raise EvaluationError(Problem(must, repr(kind)[:60], "config.json: model_type", fix))
    return builders[kind](config)


def fitting(found: Architecture, weights: Weights, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the leaves that `found` needs, under its names, as float32 on `device`.

    Nothing is copied when a leaf is float32 and on the device already. Where a file spells them otherwise, as older
    versions of transformers did (`vision_model.…`), transformers itself says which is which. Leaves that are not needed
    are passed over. Raises EvaluationError with every leaf that is missing, not floating, or of another shape.
    """
    spelled = names_in(found, weights)
    bound: dict[str, torch.Tensor] = {}
    problems: list[Problem] = []
    for name, shape in found.leaves.items():
        leaf = weights.get(spelled[name])
        if leaf is None:
            problems.append(Problem(f"{found.name} has this leaf", "no such leaf", name))
        elif tuple(leaf.shape) != shape:
            problems.append(Problem(f"the leaf has shape {list(shape)}", str(list(leaf.shape)), name))
        elif not leaf.is_floating_point():
            problems.append(Problem("the leaf is floating", str(leaf.dtype).removeprefix("torch."), name))
        else:
            bound[name] = leaf.detach().to(device=device, dtype=torch.float32)
    if problems:
        more = len(problems) - _LISTED
        rest = [Problem("all leaves fit", f"{more} more that do not", found.name)] if more > 0 else []
        raise EvaluationError(*problems[:_LISTED], *rest)
    return bound


def names_in(found: Architecture, weights: Weights) -> dict[str, str]:
    """Return, for each leaf that `found` needs, how these weights spell it; its own name where they do not say."""
    spelled: Mapping[str, str] = {}
    if found.spelling is not None and not found.leaves.keys() <= weights.keys():
        spelled = found.spelling(
            {name: tuple(leaf.shape) for name, leaf in weights.items() if leaf.is_floating_point()}
        )
    return {name: spelled.get(name, name) for name in found.leaves}


def _of_transformers(config: Mapping[str, Any], asked: str, classes: int | None) -> Architecture:
    found = allowed_model(config, asked, classes)
    model = TransformersModel(found)
    return Architecture(
        name=found.name,
        leaves=model.leaves,
        input_shape=found.input_shape,
        gives="tokens" if asked == "next tokens" else "logits",
        width=found.width,
        forward=model.forward,
        reads="images" if asked == "picture classes" else "tokens",
        vocabulary=found.vocabulary,
        longest=found.longest,
        spelling=model.spelling,
        head=model.head,
    )


def _clip_tower(config: Mapping[str, Any]) -> Architecture:
    """A vision tower of CLIP, with its projection where the file has one."""
    named = config.get("architectures")
    if named == ["CLIPVisionModelWithProjection"]:
        return _projected(config, config.get("projection_dim"))
    found = _transformer(CLIP, config)
    return replace(found, spelling=_spelling(config, "CLIPVisionModel"))


def _whole_clip(config: Mapping[str, Any]) -> Architecture:
    """The vision tower and the projection of CLIPModel."""
    inner = config.get("vision_config")
    if inner is not None and not isinstance(inner, Mapping):
        must = "vision_config is an object"
        raise EvaluationError(Problem(must, repr(inner)[:60], "config.json: vision_config"))
    return _projected(inner or {}, config.get("projection_dim"))


def _projected(config: Mapping[str, Any], width: Any) -> Architecture:
    read = ConfigReader({"projection_dim": width})
    wide = read.whole("projection_dim", 512, 1, 16_384)
    read.done()
    tower = _transformer(CLIP, config)
    leaves = {f"vision_model.{name}": shape for name, shape in tower.leaves.items()}
    return replace(
        tower,
        name="CLIPVisionModelWithProjection",
        leaves={**leaves, "visual_projection.weight": (wide, tower.width)},
        width=wide,
        forward=partial(_project, tower.forward, tuple(tower.leaves)),
        projected=True,
        spelling=_spelling({**config, "projection_dim": wide}, "CLIPVisionModelWithProjection"),
    )


def _project(
    tower: Callable[[Weights, torch.Tensor], torch.Tensor],
    names: tuple[str, ...],
    weights: Weights,
    images: torch.Tensor,
) -> torch.Tensor:
    pooled = tower({name: weights[f"vision_model.{name}"] for name in names}, images)
    return torch.nn.functional.linear(pooled, weights["visual_projection.weight"])


def _spelling(config: Mapping[str, Any], name: str) -> Callable[[Shapes], Mapping[str, str]]:
    """Return what asks transformers for names, building nothing before it is asked."""
    memory: list[TransformersModel] = []

    def spell(shapes: Shapes) -> Mapping[str, str]:
        if not memory:
            memory.append(TransformersModel(allowed_tower(config, name)))
        return memory[0].spelling(shapes)

    return spell


def _transformer(layout: Layout, config: Mapping[str, Any]) -> Architecture:
    read = ConfigReader(config)
    hidden = read.whole("hidden_size", 768, 1, 16_384)
    heads = read.whole("num_attention_heads", 12, 1, 1_024)
    side = read.whole("image_size", 224, 1, 4_096)
    patch = read.whole("patch_size", 32 if layout is CLIP else 16, 1, 4_096)
    shape = TransformerShape(
        layout=layout,
        width=hidden,
        inner=read.whole("intermediate_size", 3_072, 1, 131_072),
        layers=read.whole("num_hidden_layers", 12, 1, 256),
        heads=heads,
        channels=read.whole("num_channels", 3, 1, 64),
        side=side,
        patch=patch,
        activation=read.choice("hidden_act", "quick_gelu" if layout is CLIP else "gelu", _ACTIVATIONS),
        epsilon=read.number("layer_norm_eps", 1e-5 if layout is CLIP else 1e-12, 0.0, 1.0),
        qkv_bias=True if layout is CLIP else read.switch("qkv_bias", True),
        pooled=hidden if layout is CLIP else read.whole("pooler_output_size", hidden, 1, 16_384),
        pooler_activation="" if layout is CLIP else read.choice("pooler_act", "tanh", _ACTIVATIONS),
    )
    if hidden % heads:
        read.refuse("hidden_size", "heads divide the width", f"{hidden} and {heads}")
    if side % patch:
        read.refuse("patch_size", "patches divide the image", f"{side} and {patch}")
    read.done()
    return Architecture(
        name=layout.name,
        leaves=vision_transformer.leaves(shape),
        input_shape=(shape.channels, side, side),
        gives="features",
        width=shape.pooled,
        forward=partial(vision_transformer.pooled_output, shape),
    )


def _mlp(config: Mapping[str, Any]) -> Architecture:
    read = ConfigReader(config)
    inputs = read.whole("input_size", None, 1, 1 << 20)
    outputs = read.whole("num_labels", None, 2, 100_000)
    read.choice("activation", "relu", ("relu",))
    side = math.isqrt(inputs)
    if side * side != inputs:
        read.refuse("input_size", "input_size is a square image", str(inputs))
    hidden = config.get("hidden_sizes")
    if not isinstance(hidden, list) or len(hidden) > 64 or not all(is_whole(size, 1, 65_536) for size in hidden):
        must = "hidden_sizes are at most 64 whole numbers from 1 to 65536"
        read.refuse("hidden_sizes", must, repr(hidden)[:60])
        hidden = []
    read.done()
    shape = PerceptronShape((inputs, *hidden, outputs))
    return Architecture(
        name="BasinMLP",
        leaves=multilayer_perceptron.leaves(shape),
        input_shape=(1, side, side),
        gives="logits",
        width=outputs,
        forward=partial(multilayer_perceptron.logits, shape),
        together=partial(multilayer_perceptron.logits_of_many, shape),
    )


def _convolutional(config: Mapping[str, Any]) -> Architecture:
    read = ConfigReader(config)
    channels = read.whole("num_channels", 1, 1, 64)
    side = read.whole("image_size", None, 1, 4_096)
    outputs = read.whole("num_labels", None, 2, 100_000)
    epsilon = read.number("batch_norm_eps", 1e-5, 1e-12, 1.0)
    read.choice("activation", "relu", ("relu",))
    blocks = config.get("block_channels")
    if not isinstance(blocks, list) or not 0 < len(blocks) <= 32 or not all(is_whole(one, 1, 4_096) for one in blocks):  # noqa: PLR2004
        must = "block_channels are 1 to 32 whole numbers from 1 to 4096"
        read.refuse("block_channels", must, repr(blocks)[:60])
        blocks = [1]
    read.done()
    shape = ConvolutionalShape((channels, *blocks), side, outputs, epsilon)
    return Architecture(
        name="BasinCNN",
        leaves=convolutional.leaves(shape),
        input_shape=(channels, side, side),
        gives="logits",
        width=outputs,
        forward=partial(convolutional.logits, shape),
        statistics=convolutional.statistics(shape),
    )
