"""Which models can be evaluated: an allowlist from a configuration to a pure function of weights and inputs.

A checkpoint's `config.json` was written by a stranger. Only the keys listed here are read, each with a type and a
range; everything else in it (`auto_map`, code, attention settings) has no effect. No model class is built from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from merging_core.errors import EvaluationError, Problem, closest
from merging_core.evaluation import multilayer_perceptron, vision_transformer
from merging_core.evaluation.multilayer_perceptron import PerceptronShape
from merging_core.evaluation.vision_transformer import CLIP, VIT, Layout, TransformerShape

__all__ = ["Architecture", "Weights", "architecture", "fitting"]

Weights = Mapping[str, torch.Tensor]

_ACTIVATIONS = tuple(vision_transformer.activations())
_LISTED = 8


@dataclass(frozen=True)
class Architecture:
    """A model without its weights.

    `leaves`: names and shapes it needs. `input_shape`: (channels, side, side) of one image.
    `gives`: features for a head, or logits. `width`: numbers per example in the output.
    `forward(weights, inputs [n, channels, side, side]) -> [n, width]` is pure and may run in many threads at once.
    """

    name: str
    leaves: Mapping[str, tuple[int, ...]]
    input_shape: tuple[int, int, int]
    gives: Literal["features", "logits"]
    width: int
    forward: Callable[[Weights, torch.Tensor], torch.Tensor]


def architecture(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a configuration describes.

    Known model types: `clip_vision_model` (CLIPVisionModel), `vit` (ViTModel with its pooler), `basin_mlp`. Absent keys
    have the defaults of transformers. Raises EvaluationError with every key that is out of range.

    >>> architecture({"model_type": "llama"})
    Traceback (most recent call last):
    merging_core.errors.EvaluationError: config.json: model_type: the architecture is one that can be evaluated, but 'llama' came; known are: clip_vision_model, vit, basin_mlp.
    """  # noqa: E501
    builders: dict[str, Callable[[Mapping[str, Any]], Architecture]] = {
        "clip_vision_model": partial(_transformer, CLIP),
        "vit": partial(_transformer, VIT),
        "basin_mlp": _mlp,
    }
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in builders:
        must = "the architecture is one that can be evaluated"
        fix = closest(kind if isinstance(kind, str) else "", builders)
        raise EvaluationError(Problem(must, repr(kind)[:60], "config.json: model_type", fix))
    return builders[kind](config)


def fitting(found: Architecture, weights: Weights, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the leaves that `found` needs, under its names, as float32 on `device`.

    Nothing is copied when a leaf is float32 and on the device already. A leaf may carry the prefix `vision_model.`,
    which older versions of transformers wrote. Leaves that are not needed are passed over.
    Raises EvaluationError with every leaf that is missing, not floating, or of another shape.
    """
    bound: dict[str, torch.Tensor] = {}
    problems: list[Problem] = []
    for name, shape in found.leaves.items():
        leaf = weights.get(name)
        if leaf is None:
            leaf = weights.get(f"vision_model.{name}")
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


def _transformer(layout: Layout, config: Mapping[str, Any]) -> Architecture:
    read = _Reader(config)
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
        read.problems.append(Problem("heads divide the width", f"{hidden} and {heads}", "config.json: hidden_size"))
    if side % patch:
        read.problems.append(Problem("patches divide the image", f"{side} and {patch}", "config.json: patch_size"))
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
    read = _Reader(config)
    inputs = read.whole("input_size", None, 1, 1 << 20)
    outputs = read.whole("num_labels", None, 2, 100_000)
    read.choice("activation", "relu", ("relu",))
    side = math.isqrt(inputs)
    if side * side != inputs:
        read.problems.append(Problem("input_size is a square image", str(inputs), "config.json: input_size"))
    hidden = config.get("hidden_sizes")
    if not isinstance(hidden, list) or len(hidden) > 64 or not all(_is_whole(size, 1, 65_536) for size in hidden):
        must = "hidden_sizes are at most 64 whole numbers from 1 to 65536"
        read.problems.append(Problem(must, repr(hidden)[:60], "config.json: hidden_sizes"))
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
    )


class _Reader:
    """Reads allowlisted keys and collects what is wrong with them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.problems: list[Problem] = []

    def whole(self, key: str, default: int | None, low: int, high: int) -> int:
        value = self._given(key, default)
        return int(value) if self._noted(key, value, _is_whole(value, low, high), f"from {low} to {high}") else low

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._given(key, default)
        number = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return float(value) if self._noted(key, value, number, f"from {low:g} to {high:g}") else low

    def switch(self, key: str, default: bool) -> bool:
        value = self._given(key, default)
        return bool(self._noted(key, value, isinstance(value, bool), "true or false") and value)

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value = self._given(key, default)
        fits = isinstance(value, str) and value in choices
        return str(value) if self._noted(key, value, fits, f"one of {', '.join(choices)}") else choices[0]

    def done(self) -> None:
        if self.problems:
            raise EvaluationError(*self.problems)

    def _given(self, key: str, default: Any) -> Any:
        value = self.config.get(key)
        return default if value is None else value

    def _noted(self, key: str, value: Any, fits: bool, what: str) -> bool:
        if not fits:
            self.problems.append(Problem(f"{key} is {what}", repr(value)[:60], f"config.json: {key}"))
        return fits


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
