"""Soups of experts of one task that were tuned against different attacks, on the zoo.

    python -m benchmarks.soups [--task digits] [--steps 150] [--json]

Three experts are trained from the base: on pictures as they are, against an ℓ∞ attack, and against an ℓ2 attack. Then
weights are chosen on the first half of validation: by clean answers, under each attack, and by the mean of all; a
greedy soup and a learned one stand beside them. Numbers are of all of the test split, each row's the only look at it;
attacks take ten steps. Differences are paired, to the plain average. Some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.workshop import BASE, Rows, Workshop, printed, row_of
from merging_core.evaluation.report import Report
from merging_core.evaluation.tasks import Task
from merging_core.learning.attacks import Attack

LINF, L2 = 0.03, 0.5
WHILE_TRAINING = {"linf": LINF, "l2": L2, "attack_steps": 4, "attack_step": 0.5}
ATTACKS = {"clean": None, "linf": Attack("linf", LINF, 10), "l2": Attack("l2", L2, 10)}
PLAIN = "plain average"


def measured(folder: Path, name: str, steps: int) -> Rows:
    """Train, choose and measure; return for each model its accuracy clean and under both attacks."""
    shop = Workshop(folder)
    task = shop.task(name)
    experts = {
        f"expert, {against}": shop.trained(against, BASE, [task], steps, against=against, **WHILE_TRAINING)
        for against in ("none", "linf", "l2")
    }
    models: dict[str, str | Mapping[str, torch.Tensor]] = {"base": BASE, **experts}
    refs = list(experts.values())
    parts = [shop.weights(ref) for ref in refs]
    models[PLAIN] = {leaf: torch.stack([part[leaf] for part in parts]).mean(0) for leaf in parts[0]}
    given = {"base": BASE, "models": refs, "keep": "last"}
    chosen = {"linf": LINF, "l2": L2}
    for against in ("none", "linf", "l2", "mixture"):
        soup = shop.learned(given, "robust_soup", [task], against=against, **chosen)
        shares = {str(entry.ref).rpartition("/")[2]: entry.weight for entry in soup.recipe.models}
        models[f"robust soup, {against}: {shares}"] = shop.merged(soup)
    greedy = shop.learned(given, "greedy_soup", [task])
    models[f"greedy soup of {len(greedy.recipe.models)}"] = shop.merged(greedy)
    models["learned soup"] = shop.merged(shop.learned({**given, "steps": 50}, "learned_soup", [task]))
    return _rows(shop, task, models)


def _rows(shop: Workshop, task: Task, models: Mapping[str, str | Mapping[str, torch.Tensor]]) -> Rows:
    found: dict[str, dict[str, Report]] = {
        name: {
            kind: shop.report(model, [task], "test") if attack is None else shop.attacked(model, [task], "test", attack)
            for kind, attack in ATTACKS.items()
        }
        for name, model in models.items()
    }
    return {
        name: {kind: row_of(report, found[PLAIN][kind]) for kind, report in row.items()} for name, row in found.items()
    }


def main(arguments: list[str]) -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), asked.task, asked.steps)
    sys.stdout.write(printed(rows, as_json=asked.json))


if __name__ == "__main__":
    main(sys.argv[1:])
