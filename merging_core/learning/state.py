"""Where a run stands, on disk: one safetensors file, written whole or not at all, from which it goes on bit for bit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from merging_core.checkpoints.header import read_header
from merging_core.errors import BasinError, PlanError, Problem
from merging_core.learning.contract import Values
from merging_core.learning.spec import LearnSpec, parse_spec

__all__ = ["Best", "State", "check_state"]

_FORM = "1"
_VALUE, _MOMENT, _BEST = "value/", "moment/", "best/"


@dataclass(frozen=True, eq=False)
class Best:
    """The best check so far."""

    step: int
    draws: int
    score: float
    values: Values


@dataclass(frozen=True, eq=False)
class State:
    """Everything that the next step depends on. Chance is a function of seed and step, so no generator is kept.

    `models`: content digests of base and experts, in order. `draws`: batches that were drawn. `moments`: the
    optimisers' tensors, by phase, update and name. `since`: sum and number of the objective since the last check.
    """

    spec: LearnSpec
    models: tuple[str, ...]
    step: int
    draws: int
    values: Values
    moments: Values = field(default_factory=dict)
    best: Best | None = None
    since: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write the state over the file of that name. Raises OSError where it cannot."""
        best = None
        tensors = _named(_VALUE, self.values) | _named(_MOMENT, self.moments)
        if self.best is not None:
            tensors |= _named(_BEST, self.best.values)
            best = {"step": self.best.step, "draws": self.best.draws, "score": self.best.score.hex()}
        told = {
            "spec": self.spec.as_json(),
            "models": list(self.models),
            "step": self.step,
            "draws": self.draws,
            "best": best,
            "since": [self.since[0].hex(), self.since[1]],
            "seconds": self.seconds,
        }
        data = safetensors.torch.save(tensors, {"basin_learning": _FORM, "state": json.dumps(told)})
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    @classmethod
    def load(cls, path: Path) -> State:
        """Read a state; raises PlanError where the file is none that this version wrote, CheckpointError if damaged."""
        metadata = read_header(path).metadata
        try:
            if metadata.get("basin_learning") != _FORM:
                raise KeyError("basin_learning")
            told: Mapping[str, Any] = json.loads(metadata["state"])
            tensors = safetensors.torch.load_file(path)
            best = told["best"]
            return cls(
                spec=parse_spec(told["spec"]),
                models=tuple(told["models"]),
                step=int(told["step"]),
                draws=int(told["draws"]),
                values=_below(_VALUE, tensors),
                moments=_below(_MOMENT, tensors),
                best=None
                if best is None
                else Best(best["step"], best["draws"], float.fromhex(best["score"]), _below(_BEST, tensors)),
                since=(float.fromhex(told["since"][0]), int(told["since"][1])),
                seconds=float(told["seconds"]),
            )
        except (KeyError, TypeError, ValueError, OSError, BasinError) as error:
            must, fix = "the file is the state of a run of learning", "start the run again, without --resume"
            raise PlanError(Problem(must, "something else", path.name, fix)) from error


def _named(prefix: str, values: Mapping[str, torch.Tensor]) -> Values:
    return {f"{prefix}{name}": value.detach().cpu().clone().contiguous() for name, value in values.items()}


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Values:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def check_state(state: State, spec: LearnSpec, models: tuple[str, ...]) -> None:
    """Raise PlanError where a state is of another specification, or of models of other content."""
    problems = []
    if state.spec != spec:
        must, fix = "a run goes on with its own specification", "start it anew in another folder"
        problems.append(Problem(must, "another", "spec", fix))
    if state.models != models:
        must, fix = "a run goes on with the models that it began with", "start it anew in another folder"
        problems.append(Problem(must, "others", "models", fix))
    if problems:
        raise PlanError(*problems)
