"""Names of files that differ by a module in front: a model saved alone, and the same model saved inside a larger one.

transformers reads `wte.weight` and `transformer.wte.weight` as one leaf of GPT-2. So does a merge, where all weights of
two files agree in this way and no other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.tied import Twin
from merging_core.space.averaged import is_averaged

__all__ = ["named_like", "prefix_of"]


def named_like(reference: Checkpoint, model: Checkpoint) -> Checkpoint:
    """Return the model with the reference's names, where its own have one more module in front, or one less.

    It is returned as it is where anything else differs, so that whoever compares the two says what.
    """
    if reference.leaves.keys() == model.leaves.keys():
        return model
    ours, theirs = _weights(reference), _weights(model)
    less = prefix_of(theirs, ours)
    more = "" if less else prefix_of(ours, theirs)
    if not less and not more:
        return model
    told = {name: more + name.removeprefix(less) for name in model.leaves if name.startswith(less)}
    leaves = {told.get(name, name): replace(leaf, name=told.get(name, name)) for name, leaf in model.leaves.items()}
    known = {twin.leaf for twin in model.twins if twin.alone}
    tied = [replace(twin, leaf=told.get(twin.leaf, twin.leaf)) for twin in model.twins]
    named = [Twin(model.leaves[old], new, alone=True, named=True) for old, new in told.items() if old not in known]
    return replace(model, leaves=leaves, twins=(*tied, *named))


def prefix_of(longer: Collection[str], shorter: Collection[str]) -> str:
    """Return the module, with its point, that stands before all of `shorter` to give `longer`; empty if none does.

    >>> prefix_of({"transformer.wte.weight", "transformer.h.0.w"}, {"wte.weight", "h.0.w"})
    'transformer.'
    >>> prefix_of({"a.w"}, {"w", "v"})
    ''
    """
    first = next(iter(longer), "").partition(".")[0] + "."
    return first if {first + name for name in shorter} == set(longer) else ""


def _weights(model: Checkpoint) -> set[str]:
    return {name for name, leaf in model.leaves.items() if is_averaged(leaf)}
