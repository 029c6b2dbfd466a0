"""Merge checkpoints of Llama's shape with this project and with mergekit, beside a plain copy of the same bytes.

    python -m benchmarks.merging [--sizes 250m] [--methods linear ties] [--repeats 3] [--folder FOLDER] [--peers PEERS]

Synthetic checkpoints (`benchmarks.synthetic`) are made in FOLDER when they are not there. Every side is a process of
its own, run in turn; what counts is CPU seconds (user and system, of all threads), wall seconds and peak memory. *copy*
reads the bytes of all inputs and writes those of the output. Medians; ratios are ours divided by theirs. The other
package lives in an environment of its own, which is made in PEERS (`benchmarks.agreement`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.agreement import FOLDER as PEERS
from benchmarks.agreement import python_of
from benchmarks.synthetic import SIZES, family

FOLDER = Path.home() / ".cache" / "basin-bench"
DENSITY = 0.5
COPY = """
import os, sys
out = open(sys.argv[1], "wb")
wanted = int(sys.argv[2])
for name in sys.argv[3:]:
    with open(name, "rb") as file:
        while block := file.read(4 << 20):
            if wanted > 0:
                wanted -= out.write(block[:wanted])
out.flush()
os.fsync(out.fileno())
"""


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    cpu: float
    wall: float
    memory: int
    """Bytes at the most."""


def run(command: list[str], **environment_: str) -> Cost:
    """Run a command to its end and return what it took; raises CalledProcessError where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment_}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said.decode(errors="replace")[-2000:])
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss * 1024)


def ours(method: str, base: Path, experts: tuple[Path, ...]) -> dict[str, Any]:
    """Return our recipe."""
    linear = method == "linear"
    models = [{"ref": f"file:{path}", "weight": 1 / len(experts) if linear else 1.0} for path in experts]
    params: dict[str, Any] = {} if linear else {"density": DENSITY}
    if method == "ties":
        params["scope"] = "leaf"
    return {
        "version": 1, **({} if linear else {"base": f"file:{base}"}), "models": models,
        "method": {"name": method, "params": params}, "lambda": 1.0, "dtype": "bfloat16",
    }  # fmt: skip


def theirs(method: str, base: Path, experts: tuple[Path, ...]) -> dict[str, Any]:
    """Return the same for mergekit."""
    linear = method == "linear"
    parameters = {"weight": 1.0} if linear else {"weight": 1.0, "density": DENSITY}
    return {
        "merge_method": method, "models": [{"model": str(path), "parameters": parameters} for path in experts],
        **({} if linear else {"base_model": str(base)}), "dtype": "bfloat16",
    }  # fmt: skip


def measured(size: str, method: str, folder: Path, peers: Path, repeats: int) -> dict[str, list[Cost]]:
    """Run every side in turn and return what each run took."""
    base, experts = family(folder, size)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    recipe, config = work / "recipe.json", work / "config.yml"
    recipe.write_text(json.dumps(ours(method, base, experts)))
    config.write_text(json.dumps(theirs(method, base, experts)))
    inputs = [*experts] if method == "linear" else [base, *experts]
    files = [str(path / "model.safetensors") for path in inputs]
    nbytes = (base / "model.safetensors").stat().st_size
    sides = {
        "Basin": [sys.executable, "-m", "merging_core", "merge", str(recipe), str(work / "out")],
        "mergekit": [
            str(Path(python_of(peers)).parent / "mergekit-yaml"), str(config), str(work / "out"), "--lazy-unpickle",
            "--no-copy-tokenizer", "--allow-crimes",
        ],
        "copy": [sys.executable, "-c", COPY, str(work / "copy"), str(nbytes), *files],
    }  # fmt: skip
    found: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, command in sides.items():
            shutil.rmtree(work / "out", ignore_errors=True)
            found[name].append(run(command, CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1"))
    shutil.rmtree(work)
    return found


def median(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    each = {field.name: statistics.median(getattr(cost, field.name) for cost in costs) for field in fields(Cost)}
    return Cost(each["cpu"], each["wall"], int(each["memory"]))


def main(arguments: list[str]) -> None:
    """Print a line for each side and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["250m", "1b", "tiny-leaves"], choices=SIZES)
    parser.add_argument("--methods", nargs="+", default=["linear", "ties", "dare_ties"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--peers", type=Path, default=PEERS)
    asked = parser.parse_args(arguments)
    sys.stdout.write(f"{'':<30}{'CPU s':>8}{'wall s':>8}{'MB':>8}\n")
    for size in asked.sizes:
        for method in asked.methods:
            found = measured(size, method, asked.folder, asked.peers, asked.repeats)
            medians = {name: median(costs) for name, costs in found.items()}
            for name, cost in medians.items():
                sys.stdout.write(
                    f"{f'{size} {method} {name}':<30}{cost.cpu:>8.1f}{cost.wall:>8.1f}{cost.memory / 1e6:>8.0f}\n"
                )
            own, other, copy = medians["Basin"], medians["mergekit"], medians["copy"]
            sys.stdout.write(
                f"{'':<4}CPU 1/{other.cpu / own.cpu:.1f}, memory 1/{other.memory / own.memory:.1f}, "
                f"wall against copying ×{own.wall / copy.wall:.2f}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
