"""What a person may want to know of a LoRA adapter: its ranks, and which layers it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from merging_core.checkpoints.adapter_leaves import module_of
from merging_core.checkpoints.reader import Checkpoint

__all__ = ["AdapterFacts", "adapter_facts"]

_NAMED = 12


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
    """Return what an adapter is, from its header and configuration; None for a whole model."""
    config = checkpoint.adapter
    if config is None:
        return None
    modules = sorted({module for name in checkpoint.leaves if (module := module_of(name)) is not None})
    ranks = [config.rank_of(module) for module in modules] or [0]
    targets = tuple(sorted({module.rpartition(".")[2] for module in modules}))
    return AdapterFacts((min(ranks), max(ranks)), targets, config.base)
