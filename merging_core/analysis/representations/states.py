"""What a model holds of an input between its blocks, for every architecture that can be evaluated.

A state is what the first layer of a block reads, which is what all blocks before it made: the residual stream where a
block begins with a LayerNorm or a linear layer, and what its norm gives where that norm is of another kind. After the
last block comes what the next layer reads, then what the model gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch

from merging_core.errors import EvaluationError, Problem
from merging_core.evaluation.architectures import Architecture, Weights, architecture, fitting
from merging_core.evaluation.evaluator import need_of
from merging_core.evaluation.heads import OwnHead
from merging_core.evaluation.tasks import AnyTask
from merging_core.learning.measuring.watching import Watching
from merging_core.space.depth import depths

__all__ = ["Reader", "Tokens", "reader"]

Tokens = Literal["all", "mean", "first"]


@dataclass(frozen=True, eq=False)
class Reader:
    """A model on one task, as a function from rows of input to its states."""

    task: AnyTask
    found: Architecture
    leaves: Mapping[str, torch.Tensor]
    tokens: Tokens

    def states(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return each state of rows of input, `[n, numbers]`, from before the blocks to the output.

        Raises EvaluationError where the model's layers do not read one thing an example.
        """
        seen: dict[tuple[str, int], torch.Tensor] = {}
        after: list[torch.Tensor] = []
        places = depths(self.leaves)

        def told(name: str, inputs: torch.Tensor, turned: bool) -> None:
            depth = places[name]
            if depth.index is not None:
                seen.setdefault((depth.stack, depth.index), inputs)
                after.clear()
            elif seen and not after:
                after.append(inputs)

        # Where gradients may be taken, layers are torch's own; none is, since no leaf asks for one.
        with torch.enable_grad(), Watching(self.leaves, told):
            output = self.found.forward(self.leaves, self.task.prepared(rows)).detach()
        found = dict(zip(_names(len(seen)), [*seen.values(), *after], strict=False))
        if self.found.gives != "tokens":
            found["output"] = output
        return {name: self._flat(state, rows) for name, state in found.items()}

    def joined(self, rows: torch.Tensor) -> torch.Tensor:
        """Return all states side by side, `[n, numbers]`."""
        if self.found.gives == "tokens":
            return torch.cat([torch.cat(list(self.states(row).values()), dim=1) for row in torch.split(rows, 1)])
        return torch.cat(list(self.states(rows).values()), dim=1)

    def _flat(self, state: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if len(state) != len(rows):
            must = "the layers of a model that is looked into read one thing an example"
            raise EvaluationError(Problem(must, f"{len(state)} for {len(rows)}", self.found.name))
        if state.dim() < 3:
            return state
        state = state.flatten(1, -2)
        kept = (rows[:, 0, : state.shape[1]] >= 0).to(state.dtype) if self.found.reads == "tokens" else None
        if self.tokens == "first":
            return state[:, 0]
        if self.tokens == "mean":
            return state.mean(dim=1) if kept is None else _mean(state, kept)
        if kept is None:
            return state.flatten(1)
        longest = rows.shape[-1] - state.shape[1]
        return torch.nn.functional.pad(state * kept[..., None], (0, 0, 0, longest)).flatten(1)


def reader(config: Mapping[str, Any], weights: Weights, task: AnyTask, device: torch.device, tokens: Tokens) -> Reader:
    """Return what reads the states of a model on a task; raises EvaluationError where they do not fit."""
    found = _architecture(json.dumps(config, sort_keys=True), *need_of(task))
    problems = task.misfits(found)
    if problems:
        raise EvaluationError(*problems)
    own = task.head.leaves if isinstance(task.head, OwnHead) else {}
    return Reader(task, found, fitting(found, {**weights, **own}, device), tokens)


@lru_cache(maxsize=8)
def _architecture(config: str, asked: Any, classes: int | None) -> Architecture:
    return architecture(json.loads(config), asked, classes)


def _names(blocks: int) -> list[str]:
    """Return what the states are called, the one after the last block included."""
    return ["before", *(f"block {number}" for number in range(1, blocks + 1))]


def _mean(state: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return (state * kept[..., None]).sum(dim=1) / kept.sum(dim=1, keepdim=True)
