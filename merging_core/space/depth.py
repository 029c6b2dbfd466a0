"""How deep a leaf lies: its block within a stack of blocks, or before or after them.

The names speak for themselves in every family we know: a container (`layers`, `layer`, `blocks`, `block`, `resblocks`,
`h`) followed by a number. The first such pair from the left is the block; whatever is numbered inside a block (T5's
`block.3.layer.0`) does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from merging_core.errors import Problem, SpaceError

__all__ = ["Depth", "depths", "leaf_depth"]

_CONTAINERS = frozenset({"layers", "layer", "blocks", "block", "resblocks", "h"})
_BEFORE = frozenset(
    {
        # transformers
        "embeddings",
        "embedding",
        "embed",
        "embed_tokens",
        "embed_positions",
        "embed_layer_norm",
        "embed_in",
        "wte",
        "wpe",
        "shared",
        "token_embedding",
        "position_embedding",
        "position_embeddings",
        "word_embeddings",
        "word_embeddings_layernorm",
        "patch_embedding",
        "class_embedding",
        "pre_layrnorm",
        "pre_layernorm",
        "rotary_emb",
        # timm and OpenCLIP
        "patch_embed",
        "pos_embed",
        "cls_token",
        "dist_token",
        "reg_token",
        "register_tokens",
        "mask_token",
        "norm_pre",
        "stem",
        "conv1",
        "encoder.conv2",  # Whisper's second, of the two before its blocks
        "ln_pre",
        "positional_embedding",
    }
)
_TOWERS = (
    ("vision", "vision"),
    ("visual", "vision"),
    ("multi_modal_projector", "vision"),
    ("text", "text"),
    ("language_model", "text"),
)
"""What a segment of a name holds, and the stack that it tells."""
_COUNT_KEYS = {
    "decoder": ("num_decoder_layers", "decoder_layers"),
    "encoder": ("encoder_layers",),
    "": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "depth", "layers"),
}


@dataclass(frozen=True)
class Depth:
    """Where a leaf lies: block `index` of `count` in a stack, or outside the blocks."""

    stack: str
    """`vision`, `text`, `encoder`, `decoder` or `blocks`; empty for a leaf that belongs to several stacks or none."""
    index: int | None
    """ℓ, from 0; None outside the blocks."""
    count: int
    """L, the blocks of the stack; 0 where there is none."""
    side: Literal["inside", "before", "after"]

    @property
    def position(self) -> float:
        """ℓ/(L−1) inside the blocks (1 if there is only one), 0 before them, 1 after them.

        >>> Depth("encoder", 3, 7, "inside").position, Depth("encoder", 0, 1, "inside").position
        (0.5, 1.0)
        """
        if self.index is None:
            return 0.0 if self.side == "before" else 1.0
        return self.index / (self.count - 1) if self.count > 1 else 1.0

    @property
    def order(self) -> tuple[str, int, int]:
        """What depths are sorted by: stack by stack, before the blocks, block by block, after them.

        >>> Depth("", None, 2, "before").order < Depth("", 1, 2, "inside").order < Depth("", None, 2, "after").order
        True
        """
        return self.stack, ("before", "inside", "after").index(self.side), self.index or 0


def leaf_depth(name: str, config: Mapping[str, Any]) -> Depth:
    """Return the depth of one leaf, with the number of blocks that the configuration states.

    Raises SpaceError when the leaf lies in a block and the configuration does not say how many there are; `depths`
    counts them by the names instead.

    >>> leaf_depth("vision_model.encoder.layers.2.mlp.fc1.weight", {"vision_config": {"num_hidden_layers": 12}})
    Depth(stack='vision', index=2, count=12, side='inside')
    >>> leaf_depth("decoder.block.1.layer.0.SelfAttention.q.weight", {"num_layers": 6}).index
    1
    """
    block = _block(name)
    if block is None:
        stack = _label(name.split("."))
        return Depth(stack, None, _stated_count(stack, config) or 0, _side(name))
    prefix, index = block
    stack = _stack(prefix)
    count = _stated_count(stack, config)
    if count is None or index >= count:
        got = "a configuration that does not say" if count is None else f"{count} for block {index}"
        raise SpaceError(Problem("the configuration says how many blocks there are", got, name))
    return Depth(stack, index, count, "inside")


def depths(names: Iterable[str]) -> dict[str, Depth]:
    """Return the depth of every leaf of a model, counting the blocks of each stack by the names.

    Stacks (vision and text, encoder and decoder) count apart. A leaf outside the blocks belongs to the stack that its
    name tells, or to the only one there is, or to the one that has no name of its own.

    >>> found = depths(["wte.weight", "h.0.attn.bias", "h.1.attn.bias", "ln_f.weight"])
    >>> [(depth.index, depth.count, depth.side) for depth in found.values()]
    [(None, 2, 'before'), (0, 2, 'inside'), (1, 2, 'inside'), (None, 2, 'after')]
    """
    names = list(names)
    blocks = {name: block for name in names if (block := _block(name)) is not None}
    labels = _labels({prefix for prefix, _ in blocks.values()})
    counts: dict[str, int] = {}
    for prefix, index in blocks.values():
        counts[labels[prefix]] = max(counts.get(labels[prefix], 0), index + 1)
    only = next(iter(counts)) if len(counts) == 1 else "blocks" if "blocks" in counts else ""
    result = {}
    for name in names:
        if name in blocks:
            prefix, index = blocks[name]
            result[name] = Depth(labels[prefix], index, counts[labels[prefix]], "inside")
        else:
            label = _label(name.split("."))
            stack = label if label in counts else only
            result[name] = Depth(stack, None, counts.get(stack, 0), _side(name))
    return result


def _block(name: str) -> tuple[tuple[str, ...], int] | None:
    """Return the container (all segments up to it) and the index of the outermost block, if the leaf is in one."""
    segments = name.split(".")
    for at in range(len(segments) - 1):
        if segments[at] in _CONTAINERS and segments[at + 1].isdecimal():
            return tuple(segments[: at + 1]), int(segments[at + 1])
    return None


def _side(name: str) -> Literal["before", "after"]:
    segments = name.split(".")
    pairs = (".".join(pair) for pair in pairwise(segments))
    return "after" if _BEFORE.isdisjoint(segments) and _BEFORE.isdisjoint(pairs) else "before"


def _label(segments: Iterable[str]) -> str:
    """Return the stack that segments of a name tell, or an empty string."""
    segments = list(segments)
    for word, label in _TOWERS:
        if any(word in segment for segment in segments):
            return label
    return next((segment for segment in segments if segment in ("encoder", "decoder")), "")


def _stack(prefix: tuple[str, ...]) -> str:
    if prefix == ("transformer", "resblocks"):  # OpenCLIP names its text tower so; the other one is visual.…
        return "text"
    return _label(prefix) or "blocks"


def _labels(prefixes: set[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Name each stack; stacks that would share a name are told apart by their whole prefix."""
    short = {prefix: _stack(prefix) for prefix in prefixes}
    taken = list(short.values())
    return {prefix: label if taken.count(label) == 1 else ".".join(prefix) for prefix, label in short.items()}


def _stated_count(stack: str, config: Mapping[str, Any]) -> int | None:
    if config.get("model_type") == "basin_mlp" and isinstance(config.get("hidden_sizes"), list):
        return len(config["hidden_sizes"]) + 1  # the linear layers of the zoo's own perceptrons
    texts = ("text_config", "text_cfg")
    nested = {"vision": ("vision_config", "vision_cfg"), "text": texts, "blocks": texts}.get(stack, ())
    for key in nested:
        if isinstance(config.get(key), Mapping):
            config = config[key]
    for key in (*_COUNT_KEYS.get(stack, ()), *_COUNT_KEYS[""]):
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
