"""Vision transformers (CLIPVisionModel, ViTModel of transformers) as pure functions of their weights.

Binding parameters to a model object costs time and makes threads share state. Here the leaves are arguments: nothing is
bound, nothing is copied, and any number of threads may evaluate different weights. The result is that of transformers
(the tests compare both). Two things are done otherwise, because only the class token is read at the end: the last
block computes keys and values of all tokens but everything else of the class token alone; and the patch embedding, a
convolution whose stride is its kernel, is one matrix product. `benchmarks/evaluation.py` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import gelu, layer_norm, relu, scaled_dot_product_attention, silu

from merging_core.evaluation.dense import dense as product

__all__ = ["CLIP", "VIT", "Layout", "TransformerShape", "activations", "leaves", "pooled_output"]

Activation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """How one family spells its leaves; `{}` is the block's index."""

    name: str
    class_token: str
    positions: str
    patches: str
    patch_bias: bool
    before: str
    """The norm before the blocks; empty if there is none."""
    norm_1: str
    query: str
    key: str
    value: str
    out: str
    norm_2: str
    inner: str
    outer: str
    after: str
    """The norm after the blocks."""
    pooler: str
    """A dense layer after the last norm; empty if there is none."""
    extra: bool
    """Whether class token and positions have a leading dimension of 1."""


CLIP = Layout(
    name="CLIPVisionModel",
    class_token="embeddings.class_embedding",
    positions="embeddings.position_embedding.weight",
    patches="embeddings.patch_embedding",
    patch_bias=False,
    before="pre_layrnorm",
    norm_1="encoder.layers.{}.layer_norm1",
    query="encoder.layers.{}.self_attn.q_proj",
    key="encoder.layers.{}.self_attn.k_proj",
    value="encoder.layers.{}.self_attn.v_proj",
    out="encoder.layers.{}.self_attn.out_proj",
    norm_2="encoder.layers.{}.layer_norm2",
    inner="encoder.layers.{}.mlp.fc1",
    outer="encoder.layers.{}.mlp.fc2",
    after="post_layernorm",
    pooler="",
    extra=False,
)

VIT = Layout(
    name="ViTModel",
    class_token="embeddings.cls_token",
    positions="embeddings.position_embeddings",
    patches="embeddings.patch_embeddings.projection",
    patch_bias=True,
    before="",
    norm_1="encoder.layer.{}.layernorm_before",
    query="encoder.layer.{}.attention.attention.query",
    key="encoder.layer.{}.attention.attention.key",
    value="encoder.layer.{}.attention.attention.value",
    out="encoder.layer.{}.attention.output.dense",
    norm_2="encoder.layer.{}.layernorm_after",
    inner="encoder.layer.{}.intermediate.dense",
    outer="encoder.layer.{}.output.dense",
    after="layernorm",
    pooler="pooler.dense",
    extra=True,
)


@dataclass(frozen=True)
class TransformerShape:
    """All numbers of a vision transformer; `width` is divided by `heads`, `side` by `patch`."""

    layout: Layout
    width: int
    inner: int
    layers: int
    heads: int
    channels: int
    side: int
    patch: int
    activation: str
    epsilon: float
    qkv_bias: bool
    pooled: int
    pooler_activation: str

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.side // self.patch) ** 2 + 1


def activations() -> dict[str, Activation]:
    """Return the known activations by the names that configurations use.

    >>> activations()["quick_gelu"](torch.tensor(0.0)).item()
    0.0
    """
    return {
        "gelu": gelu,
        "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
        "gelu_pytorch_tanh": partial(gelu, approximate="tanh"),
        "relu": relu,
        "silu": silu,
        "tanh": torch.tanh,
    }


def leaves(shape: TransformerShape) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the leaves, as transformers writes them to disk."""
    layout, width = shape.layout, shape.width
    lead = (1,) if layout.extra else ()
    found: dict[str, tuple[int, ...]] = {
        layout.class_token: (*lead, *lead, width),
        layout.positions: (*lead, shape.tokens, width),
        f"{layout.patches}.weight": (width, shape.channels, shape.patch, shape.patch),
    }
    if layout.patch_bias:
        found[f"{layout.patches}.bias"] = (width,)

    def dense(name: str, outside: int, inside: int, bias: bool = True) -> None:
        found[f"{name}.weight"] = (outside, inside)
        if bias:
            found[f"{name}.bias"] = (outside,)

    def norm(name: str) -> None:
        found[f"{name}.weight"] = found[f"{name}.bias"] = (width,)

    if layout.before:
        norm(layout.before)
    for index in range(shape.layers):
        norm(layout.norm_1.format(index))
        for name in (layout.query, layout.key, layout.value):
            dense(name.format(index), width, width, shape.qkv_bias)
        dense(layout.out.format(index), width, width)
        norm(layout.norm_2.format(index))
        dense(layout.inner.format(index), shape.inner, width)
        dense(layout.outer.format(index), width, shape.inner)
    norm(layout.after)
    if layout.pooler:
        dense(layout.pooler, shape.pooled, width)
    return found


def pooled_output(shape: TransformerShape, weights: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Return `pooler_output` `[n, pooled]` of images `[n, channels, side, side]`.

    CLIP: the last norm of the class token after the blocks. ViT: pooler_act(W · norm(class token) + b).

    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, equations 1–4; `modeling_clip.py` and `modeling_vit.py` of
    transformers. Evaluation only: no dropout.
    """
    layout = shape.layout
    activation = activations()[shape.activation]

    def dense(values: torch.Tensor, name: str) -> torch.Tensor:
        return product(values, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(values: torch.Tensor, name: str) -> torch.Tensor:
        return layer_norm(values, (shape.width,), weights[f"{name}.weight"], weights[f"{name}.bias"], shape.epsilon)

    def split(values: torch.Tensor) -> torch.Tensor:
        return values.view(len(values), -1, shape.heads, shape.width // shape.heads).transpose(1, 2)

    values = _embedded(shape, weights, images)
    if layout.before:
        values = norm(values, layout.before)
    for index in range(shape.layers):
        normed = norm(values, layout.norm_1.format(index))
        keys, contents = (
            split(dense(normed, layout.key.format(index))),
            split(dense(normed, layout.value.format(index))),
        )
        if index == shape.layers - 1:
            normed, values = normed[:, :1], values[:, :1]
        queries = split(dense(normed, layout.query.format(index)))
        mixed = scaled_dot_product_attention(queries, keys, contents).transpose(1, 2).flatten(2)
        values = values + dense(mixed, layout.out.format(index))
        inner = activation(dense(norm(values, layout.norm_2.format(index)), layout.inner.format(index)))
        values = values + dense(inner, layout.outer.format(index))
    token = norm(values[:, 0], layout.after)
    if layout.pooler:
        token = activations()[shape.pooler_activation](dense(token, layout.pooler))
    return token


def _embedded(shape: TransformerShape, weights: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Return class token and patches with their positions, `[n, tokens, width]`."""
    layout, n, across = shape.layout, len(images), shape.side // shape.patch
    tiles = images.view(n, shape.channels, across, shape.patch, across, shape.patch).permute(0, 2, 4, 1, 3, 5)
    kernel = weights[f"{layout.patches}.weight"].flatten(1)
    bias = weights[f"{layout.patches}.bias"] if layout.patch_bias else None
    patches = product(tiles.reshape(n, across * across, -1), kernel, bias)
    token = weights[layout.class_token].view(1, 1, -1).expand(n, -1, -1)
    return torch.cat((token, patches), dim=1) + weights[layout.positions]
