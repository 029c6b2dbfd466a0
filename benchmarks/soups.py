"""Soups of experts of one task, on the zoo: tuned against different attacks, or at different rates.

    python -m benchmarks.soups [--of attacks | rates] [--task digits] [--steps 120] [--json]

*Attacks*: three experts are trained from the base: on pictures as they are, against an ℓ∞ attack, and against an ℓ2
attack. Then weights are chosen on the first half of validation: by clean answers, under each attack, and by the mean of
all; a greedy soup and a learned one stand beside them. Attacks that measure take ten steps. *Rates*: five experts at
different learning rates and seeds, a greedy soup and a learned one of them. Numbers are of all of the test split, each
row's the only look at it; differences are paired, to the plain average. Some ten minutes on two cores.
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
RATES = (1e-4, 2e-4, 5e-4, 1e-3, 3e-3)
PLAIN = "plain average"
Models = dict[str, str | Mapping[str, torch.Tensor]]


def of_attacks(shop: Workshop, task: Task, steps: int) -> Rows:
    """Train against attacks, choose and measure; return for each model its accuracy clean and under both attacks."""
    experts = {
        f"expert, {against}": shop.trained(against, BASE, [task], steps, against=against, **WHILE_TRAINING)
        for against in ("none", "linf", "l2")
    }
    models, given = _begun(shop, experts)
    for against in ("none", "linf", "l2", "mixture"):
        soup = shop.learned(given, "robust_soup", [task], against=against, linf=LINF, l2=L2)
        shares = {str(entry.ref).rpartition("/")[2]: entry.weight for entry in soup.recipe.models}
        models[f"robust soup, {against}: {shares}"] = shop.merged(soup)
    _soups(shop, task, models, given)
    return _rows(shop, task, models, ATTACKS)


def of_rates(shop: Workshop, task: Task, steps: int) -> Rows:
    """Train at different rates, choose and measure; return for each model its accuracy."""
    experts = {
        f"expert, rate {rate:g}": shop.trained(f"rate-{rate:g}", BASE, [task], steps, rate=rate, seed=seed)
        for seed, rate in enumerate(RATES)
    }
    models, given = _begun(shop, experts)
    _soups(shop, task, models, given)
    return _rows(shop, task, models, {"clean": None})


def _begun(shop: Workshop, experts: Mapping[str, str]) -> tuple[Models, dict[str, object]]:
    """Return base, experts and their plain average, and what a run over them is given."""
    refs = list(experts.values())
    parts = [shop.weights(ref) for ref in refs]
    average = {leaf: torch.stack([part[leaf] for part in parts]).mean(0) for leaf in parts[0]}
    return {"base": BASE, **experts, PLAIN: average}, {"base": BASE, "models": refs, "keep": "last"}


def _soups(shop: Workshop, task: Task, models: Models, given: Mapping[str, object]) -> None:
    """Add a greedy soup and a learned one."""
    greedy = shop.learned(given, "greedy_soup", [task])
    models[f"greedy soup of {len(greedy.recipe.models)}"] = shop.merged(greedy)
    models["learned soup"] = shop.merged(shop.learned({**given, "steps": 50}, "learned_soup", [task]))


def _rows(shop: Workshop, task: Task, models: Models, attacks: Mapping[str, Attack | None]) -> Rows:
    found: dict[str, dict[str, Report]] = {
        name: {
            kind: shop.report(model, [task], "test") if attack is None else shop.attacked(model, [task], "test", attack)
            for kind, attack in attacks.items()
        }
        for name, model in models.items()
    }
    return {
        name: {kind: row_of(report, found[PLAIN][kind]) for kind, report in row.items()} for name, row in found.items()
    }


def main(arguments: list[str]) -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", choices=("attacks", "rates"), default="attacks")
    parser.add_argument("--task", default="digits")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder))
        measure = of_attacks if asked.of == "attacks" else of_rates
        rows = measure(shop, shop.task(asked.task), asked.steps)
    sys.stdout.write(printed(rows, as_json=asked.json))


if __name__ == "__main__":
    main(sys.argv[1:])
