"""Carry out merges with mergekit, in an environment that has it: `python with_mergekit.py JOBS.json`.

A job is `{"method", "parameters", "models": [files], "base": file or null, "out": file, "seed", "aside"}`; leaves whose
names have a part that is in `aside` are left out. A base is one more model, put
last, unless it is among the models. A job that mergekit refuses leaves its words beside where its result would be.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from mergekit.merge_methods.api import merge_state_dicts
from safetensors.torch import load_file, save_file


def carry_out(job: dict[str, Any]) -> None:
    """Merge and write one checkpoint."""
    base = job["base"]
    files = [*job["models"], *([base] if base is not None and base not in job["models"] else [])]
    models = {
        file: {name: leaf for name, leaf in load_file(file).items() if not any(part in name for part in job["aside"])}
        for file in files
    }
    given = dict(job["parameters"])
    each = {name: value for name, value in given.items() if isinstance(value, list)}
    for name, values in each.items():
        given[name] = dict(zip(job["models"], values, strict=True))
    torch.manual_seed(job["seed"])
    with torch.no_grad():
        merged = merge_state_dicts(models, job["method"], parameters=given, base=base)
    save_file({name: tensor.contiguous() for name, tensor in merged.items()}, job["out"])


def main() -> None:
    """Carry out every job of the file that the command names."""
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            carry_out(job)
        except Exception as error:  # noqa: BLE001
            Path(job["out"]).with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
