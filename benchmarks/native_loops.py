"""Time the compiled loops beside the plain code of the same bits, on one core.

    python -m benchmarks.native_loops [--elements 131072] [--repeats 50]

Each line is one stage of a merge on pieces of three experts: nanoseconds per element and model, the best of all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from unittest import mock

import torch

from merging_core.masks.info import MaskContext
from merging_core.masks.random import survivors
from merging_core.masks.ranks import magnitudes_of_ranks
from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters
from merging_core.methods.sums import weighted_sum
from merging_core.methods.ties import sign_balance, sign_consensus
from merging_core.native import loops
from merging_core.process import prepare_process

MODELS = 3


def best(compute: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the quickest call; the first is not counted."""
    compute()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return min(times)


def main(arguments: list[str]) -> None:
    """Print both times of every stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=1 << 17)
    parser.add_argument("--repeats", type=int, default=50)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not loops.has_loops():
        sys.exit("the loops cannot be compiled here, or are switched off")
    size = asked.elements
    vectors = torch.randn(MODELS, size, generator=torch.Generator().manual_seed(0)) * 0.01
    vectors[vectors.abs() < 0.007] = 0.0
    weights, row = torch.ones(MODELS), torch.randn(size, generator=torch.Generator().manual_seed(1))
    stages: dict[str, tuple[Callable[[], object], int]] = {
        "weighted sum": (lambda: weighted_sum(vectors, weights), MODELS),
        "majority sign": (lambda: sign_balance(vectors, weights, Parameters()), MODELS),
        "sign consensus": (lambda: sign_consensus(vectors, weights, CombineContext()), MODELS),
        "random mask": (lambda: survivors(row, MaskContext(key=7), 0.5, 2.0), 1),
        "threshold": (lambda: magnitudes_of_ranks([row], (size // 2,)), 1),
    }
    sys.stdout.write(f"{'':<18}{'compiled':>10}{'plain':>10}{'ratio':>8}\n")
    for name, (compute, models) in stages.items():
        quick = best(compute, asked.repeats)
        with mock.patch.object(loops, "_loaded", lambda: None):
            plain = best(compute, asked.repeats)
        scale = 1e9 / (size * models)
        sys.stdout.write(f"{name:<18}{quick * scale:>10.2f}{plain * scale:>10.2f}{plain / quick:>8.1f}\n")


if __name__ == "__main__":
    prepare_process()
    main(sys.argv[1:])
