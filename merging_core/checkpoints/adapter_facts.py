"""What a person may want to know of a LoRA adapter: its ranks, and which layers it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from merging_core.checkpoints.adapter_leaves import module_of
from merging_core.checkpoints.reader import Checkpoint

__all__ = ["AdapterFacts", "adapter_facts"]

_NAMED, _LONGEST = 12, 40
_ACROSS = (".lora_A.weight", ".lora_embedding_A")
"""How the factor is called whose rows are as many as the rank."""


@dataclass(frozen=True)
class AdapterFacts:
    """A LoRA adapter in short."""

    ranks: tuple[int, int]
    """The smallest and the largest."""
    targets: tuple[str, ...]
    """What the layers that it changes are called, without what tells the blocks apart."""
    base: str
    """The base on the Hub that it says it was trained on, or empty."""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs, at most twelve targets."""
        targets = list(self.targets[:_NAMED])
        return {
            "ranks": list(self.ranks),
            "targets": targets,
            "more": len(self.targets) - len(targets),
            "base": self.base,
        }


def adapter_facts(checkpoint: Checkpoint) -> AdapterFacts | None:
    """Return what an adapter is, as its header says; None for a whole model."""
    config = checkpoint.adapter
    if config is None:
        return None
    factors = [(module, leaf) for leaf in checkpoint.leaves.values() if (module := module_of(leaf.name)) is not None]
    ranks = [leaf.shape[0] for _, leaf in factors if leaf.shape and leaf.name.endswith(_ACROSS)] or [0]
    targets = sorted({module.rpartition(".")[2][:_LONGEST] for module, _ in factors})
    return AdapterFacts((min(ranks), max(ranks)), tuple(targets), config.base)
