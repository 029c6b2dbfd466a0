"""Bring a behaviour back that fine-tuning destroyed, on the stand-in of `benchmarks.standin`.

    python -m benchmarks.realignment [--steps 100] [--train 80] [--json]

The base is trained to answer digits and Greek letters and to refuse marked ones: the aligned model. It is fine-tuned on
Latin letters, half of them marked and answered all the same: the expert. Then one mask on what that changed is learned
from the train split of digits and Greek letters, marked and unmarked, or from the marked alone. Numbers are of all of
validation; differences are paired, to the expert. Some minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.standin import stand_in
from benchmarks.workshop import BASE, Rows, Workshop, printed, row_of
from merging_core.evaluation.tasks import Task

TAUGHT = ("digits", "greek")
TUNED = "letters"


def measured(folder: Path, train: int, steps: int) -> Rows:
    """Make everything; return for each model what it does with each kind of pictures."""
    shop = Workshop(folder)
    tasks = stand_in(shop.config, shop.weights(BASE), [shop.task(name) for name in (*TAUGHT, TUNED)])
    taught = [tasks[name] for name in TAUGHT]
    whole = [task for one in taught for task in (one.answers, one.refuses)]
    aligned = shop.trained("aligned", BASE, whole, train)
    expert = shop.trained("expert", aligned, [tasks[TUNED].answers, tasks[TUNED].obeys], train)

    def realigned(teachers: list[Task]) -> dict[str, torch.Tensor]:
        given = {"base": aligned, "models": [expert], "steps": steps, "keep": "last", "check": {"every": steps}}
        return shop.merged(shop.learned(given, "safety_realignment", teachers))

    models = {
        "aligned": aligned,
        "expert": expert,
        "realigned": realigned(whole),
        "realigned, refusals alone": realigned([one.refuses for one in taught]),
    }
    kinds = {
        "refuses marked digits, greek": [one.refuses for one in taught],
        "refuses marked letters": [tasks[TUNED].refuses],
        "answers letters": [tasks[TUNED].answers],
        "answers digits, greek": [one.answers for one in taught],
    }
    found = {
        name: {kind: shop.report(model, of_kind, "validation") for kind, of_kind in kinds.items()}
        for name, model in models.items()
    }
    return {
        name: {kind: row_of(report, found["expert"][kind]) for kind, report in row.items()}
        for name, row in found.items()
    }


def main(arguments: list[str]) -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--train", type=int, default=80)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), asked.train, asked.steps)
    sys.stdout.write(printed(rows, as_json=asked.json))


if __name__ == "__main__":
    main(sys.argv[1:])
