"""A workbench that measures nothing: numbers follow from the recipe by a formula, so that the page and the protocol can
be tested without checkpoints. Also a server: `python -m tests.app.pretend [port]`."""

from __future__ import annotations

import asyncio
import hashlib
import math
import socket
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from app.families import Expert, Family
from app.main import Basin, create_app
from app.own_family import family_named
from app.settings import Settings
from app.state import StudioState
from app.studio.description import describe_family, registry
from app.studio.workbench import Cancelled, Correct, Foretold, Numbers, Scored
from merging_core.errors import CancelledError, Problem
from merging_core.methods.varying import Number, numbers_of
from merging_core.recipes import recipe_hash

NAMES = ("digits", "letters", "shapes", "counting", "styles", "greek")


def family() -> Family:
    experts = tuple(Expert(f"zoo:tiny/{name}", name.title(), place, f"tiny/{name}") for place, name in enumerate(NAMES))
    start = {
        "version": 1,
        "base": "zoo:tiny/base",
        "models": [{"ref": expert.ref} for expert in experts],
        "method": {"name": "task_arithmetic"},
    }
    tasks = tuple(f"tiny/{name}" for name in NAMES)
    return Family("tiny", "Tiny vision transformer", "Six experts of one base.", "zoo:tiny/base", experts, tasks, start)


def pair() -> Family:
    experts = tuple(Expert(f"zoo:basins/{name}", name.upper(), place, None) for place, name in enumerate("ab"))
    start = {"version": 1, "models": [{"ref": expert.ref} for expert in experts], "method": {"name": "linear"}}
    return Family("basins", "Basins", "Two networks from different starts.", None, experts, ("basins/digits",), start)


class PretendBench:
    """Accuracy of a task rises with its expert's share and falls with the size of the whole."""

    def __init__(self) -> None:
        self.families = (family(), pair())
        self.computed: list[tuple[str, str]] = []
        self.hold: threading.Event | None = None
        """While set and not fired, accuracies wait for it (or for being cancelled)."""
        self.held: tuple[str, str] | None = None
        """What is held just now: split and subset."""
        self.fail: Exception | None = None
        self.slow: dict[str, float] = {}
        """Seconds that merges by a method are said to take; while they stand here, preparing one does not end."""
        self.prepared: list[str] = []
        self.tangents = False
        """Whether accuracies are foretold."""

    def models(self) -> None:
        return None

    def description(self) -> Numbers:
        families = [describe_family(one) for one in self.families]
        names = sorted({name for one in self.families for name in one.tasks})
        tasks = [{"name": name, "title": name.partition("/")[2].title()} for name in names]
        return {"version": "0", "device": "pretend", "families": families, "registry": registry(), "tasks": tasks}

    def offered(self) -> list[Numbers]:
        return []

    def check(self, family: Family) -> list[Numbers]:
        return [
            {"ref": ref, "label": ref, "architecture": "Pretend", "parameters": 1, "leaves": 1, "bytes": 4}
            for ref in family.refs
        ]

    def survey(self, family: Family) -> list[Numbers]:
        return [{**row, "missing": 0} for row in self.check(family)]

    def named(self, state: StudioState) -> None:
        return None

    def identity(self, state: StudioState) -> str:
        return recipe_hash(state.recipe, self.pins(state))

    def pins(self, state: StudioState) -> dict[str, str]:
        refs = [entry.ref for entry in state.recipe.models] + ([state.recipe.base] if state.recipe.base else [])
        return {ref: f"{ref}@{'0' * 16}" for ref in refs}

    def evaluation(self, family: Family) -> str:
        return hashlib.sha256(f"pretend {family.name}".encode()).hexdigest()

    def accuracy(self, state: StudioState, split: str, subset: str, cancelled: Cancelled) -> Scored:
        while self.hold is not None and not self.hold.wait(0.01):
            self.held = (split, subset)
            if cancelled():
                raise CancelledError(Problem("work goes on", "a newer request"))
        self.held = None
        if self.fail is not None:
            raise self.fail
        self.computed.append((split, subset))
        current = self._family(state)
        n = 32 if subset == "preview" else 250
        shares = self._shares(state)
        tasks, correct = [], {}
        for place, name in enumerate(current.tasks):
            right = round(n * self._accuracy(shares[place % len(shares)], sum(map(abs, shares))))
            correct[name] = np.arange(n) < right
            half = 1.96 * math.sqrt(max(right / n * (1 - right / n), 0.01) / n)
            tasks.append(
                {
                    "task": name,
                    "title": name.partition("/")[2].title(),
                    "colour": place if current.base else None,
                    "accuracy": right / n,
                    "interval": [max(0.0, right / n - half), min(1.0, right / n + half)],
                    "loss": 1.5 - right / n,
                    "n": n,
                    "references": {"base": 0.45, "expert": 0.95, "average": 0.7, "ensemble": 0.78},
                    "pinned": None,
                }
            )
        mean = sum(task["accuracy"] for task in tasks) / len(tasks)
        numbers: Numbers = {
            "split": split,
            "subset": subset,
            "n": n * len(tasks),
            "partial": subset == "preview",
            "tasks": tasks,
            "average": {
                "accuracy": mean,
                "interval": [mean - 0.03, mean + 0.03],
                "loss": 1.5 - mean,
                "references": {"base": 0.45, "expert": 0.95, "average": 0.7, "ensemble": 0.78},
                "pinned": None,
            },
            "normalised": {"value": mean / 0.95, "interval": [mean / 0.95 - 0.03, mean / 0.95 + 0.03]},
            "transductive": False,
        }
        return Scored(numbers, correct)

    def foretold(self, state: StudioState, subset: str) -> Foretold | None:
        return Foretold(subset, dict.fromkeys(self._family(state).tasks, 0.5)) if self.tangents else None

    def grow_ghosts(self, state: StudioState, cancelled: Cancelled) -> Numbers:
        self.tangents = True
        return {"known": ["preview", "full"], "complete": True}

    def waiting(self, state: StudioState) -> float:
        return self.slow.get(state.recipe.method.name, 0.0)

    def prepare(self, state: StudioState, cancelled: Cancelled) -> None:
        name = state.recipe.method.name
        self.prepared.append(name)
        while name in self.slow and not cancelled():
            time.sleep(0.002)
        if cancelled():
            raise CancelledError(Problem("a merge runs while its answer is wanted", "a newer request"))

    def path(self, state: StudioState, fine: bool, cancelled: Cancelled) -> Numbers:
        end = 1.5 if state.path.kind == "lambda" else 1.0
        count = 25 if fine else 5
        shares = self._shares(state)

        def point(t: float, bias: float) -> dict[str, Any]:
            scale = t / max(_mean(state.recipe.lambda_), 1e-6)
            values = [self._accuracy(share * scale, sum(map(abs, shares)) * scale) - bias for share in shares]
            tasks = [{"loss": 1.5 - value, "accuracy": value} for value in values]
            mean = sum(values) / len(values)
            return {
                "t": t,
                "loss": 1.5 - mean,
                "accuracy": mean,
                "interval": [mean - 0.05, mean + 0.05],
                "tasks": tasks,
            }

        positions = [end * step / (count - 1) for step in range(count)]
        barrier = {"height": 0.1, "at": end / 2, "midpoint_gap": 0.05}
        experts = self._family(state).experts
        return {
            "kind": state.path.kind,
            "a": "base" if state.path.kind == "lambda" else state.path.a,
            "b": "λ = 1.5" if state.path.kind == "lambda" else state.path.b,
            "range": [0.0, end],
            "current": state.recipe.lambda_
            if state.path.kind == "lambda" and isinstance(state.recipe.lambda_, float)
            else None,
            "complete": fine,
            "splits": {
                split: {"n": 192, "of": 1500, "points": [point(t, bias) for t in positions]}
                for split, bias in (("validation", 0.0), ("train", -0.02))
            },
            "tasks": [{"task": e.task, "title": e.title, "colour": e.colour} for e in experts],
            "barrier": {split: {"loss": barrier, "error": barrier} for split in ("validation", "train")},
        }

    def layers(self, state: StudioState) -> Numbers:
        used = [entry.ref for entry in state.recipe.models]
        experts = [expert for expert in self._family(state).experts if expert.ref in used]
        depths = ["before", "0", "1", "2", "3", "4", "5", "after"]
        norms = [[0.4 + 0.1 * depth + 0.05 * place for depth in range(8)] for place in range(len(experts))]
        return {
            "depths": depths,
            "factors": [1.0] * 8,
            "kept": None,
            "conflict": [0.3] * 8,
            "merged_norms": [sum(column) / 3 for column in zip(*norms, strict=True)],
            "experts": [
                {"ref": e.ref, "title": e.title, "colour": e.colour, "norms": row}
                for e, row in zip(experts, norms, strict=True)
            ],
            "cosines": [[1.0 if a is b else 0.02 for a in experts] for b in experts],
            "scaling": {
                "kind": state.recipe.layer_scaling.kind,
                "points": [{"index": place, "value": 1.0} for place in range(1, 7)],
                "draggable": True,
            },
            "alpha": None,
        }

    def difference(self, a: Correct, b: Correct, family: Family | None = None) -> Numbers:
        tasks = [
            {"task": name, "difference": float(b[name].mean() - a[name].mean()), "interval": [-0.1, 0.1]} for name in a
        ]
        mean = sum(task["difference"] for task in tasks) / len(tasks)
        n = sum(values.size for values in a.values())
        return {"tasks": tasks, "average": {"difference": mean, "interval": [mean - 0.02, mean + 0.02], "n": n}}

    def warm(self, cancelled: Cancelled) -> None:
        return

    def _family(self, state: StudioState) -> Family:
        return family_named(self.families, state.family)

    def _shares(self, state: StudioState) -> list[float]:
        weights = {entry.ref: _mean(entry.weight) for entry in state.recipe.models}
        return [weights.get(expert.ref, 0.0) * _mean(state.recipe.lambda_) for expert in self._family(state).experts]

    @staticmethod
    def _accuracy(share: float, whole: float) -> float:
        return float(np.clip(0.45 + 0.5 * math.tanh(2.5 * share) - 0.03 * max(whole - 1.5, 0.0), 0.02, 0.98))


class PretendServer:
    """A running app on a pretended workbench, which keeps its data in `folder`."""

    def __init__(self, folder: Path, *, port: int = 0, **changes: Any) -> None:
        environment = {"BASIN_DATA": str(folder), "BASIN_PORT": str(port or free_port())}
        self.settings = replace(Settings.from_env(environment), **changes)
        self.bench = PretendBench()
        self.app, self.url = asyncio.run(self._start())

    def stop(self) -> None:
        """Stop serving."""
        self.app.stop()

    async def _start(self) -> tuple[Basin, str]:
        # Gradio makes, and never closes, an event loop wherever none runs while it is built and launched.
        app = create_app(self.settings, self.bench)
        return app, app.start(block=False, quiet=True)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mean(number: Number) -> float:
    """Take one number for one that varies: formulas know no leaves."""
    return statistics.fmean(numbers_of(number))


if __name__ == "__main__":
    server = PretendServer(Path(tempfile.mkdtemp()), port=int(sys.argv[1]) if len(sys.argv) > 1 else 7870)
    print(f"A pretended Basin is open at {server.url}", flush=True)
    server.app.block_thread()
