"""Which leaves of a model training moves; the others stay as the base has them."""

from __future__ import annotations

import re

from merging_core.errors import PlanError, Problem
from merging_core.methods.info import ParameterInfo, Parameters
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf

__all__ = ["BLOCKS", "MOVES", "moving"]

_ATTENTION = re.compile(r"attn|attention|query|key|value|qkv|[qkvo]_proj", re.IGNORECASE)
_MLP = re.compile(r"mlp|ffn|fc\d|c_fc|feed_forward|densereludense|intermediate|(?:gate|up|down)_proj", re.IGNORECASE)
_NORM = re.compile(r".*la?ye?r?_?norm.*|.*norm\d*|(?:ln|bn)(?:\d+|_\w+)?", re.IGNORECASE)

MOVES = ParameterInfo(
    "moves",
    "What moves",
    "choice",
    "all",
    "Which leaves training changes: all, the attention’s, the MLPs’, norms and biases, or the last blocks’.",
    choices=("all", "attention", "mlp", "norms_and_biases", "last_blocks"),
)
BLOCKS = ParameterInfo(
    "blocks",
    "Last blocks",
    "integer",
    2,
    "How many of the last blocks move, with what follows them.",
    1,
    1024,
    step=1,
    slider=(1, 12),
    only_when=("moves", "last_blocks"),
)


def moving(space: ParameterSpace, params: Parameters) -> tuple[SpaceLeaf, ...]:
    """Return the leaves that move, in the space's order.

    Attention and MLPs are told by names, without their norms.
    Raises PlanError where there is none.
    """
    what = str(params["moves"])
    blocks = int(params.number("blocks")) if "blocks" in params else 0
    found = tuple(leaf for leaf in space.leaves if _moves(leaf, what, blocks))
    if not found:
        must, got = "some leaf moves", f"a model that has none of “{what.replace('_', ' ')}”"
        raise PlanError(Problem(must, got, "method.params.moves", "write moves: all"))
    return found


def _moves(leaf: SpaceLeaf, what: str, blocks: int) -> bool:
    if what == "all":
        return True
    segments = leaf.name.split(".")
    if what == "last_blocks":
        if leaf.depth.index is None:
            return leaf.depth.side == "after"
        return leaf.depth.index >= leaf.depth.count - blocks
    norm = any(_NORM.fullmatch(segment) for segment in segments)
    if what == "norms_and_biases":
        return norm or segments[-1].endswith("bias")
    pattern = _ATTENTION if what == "attention" else _MLP
    return not norm and any(pattern.search(segment) for segment in segments)
