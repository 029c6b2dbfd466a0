"""Carry out merges with FusionBench, in an environment that has it: `python with_fusion_bench.py JOBS.json`.

A job is `{"method", "parameters", "models": [files], "base": file or null, "out": file, "seed"}`. The method is the
name of one of FusionBench's algorithms, or of one of the functions below, where FusionBench has the parts and no
algorithm. A job that fails leaves its words beside where its result would be.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from fusion_bench import BaseModelPool
from fusion_bench import method as methods
from fusion_bench.method.emr_merging.utils import emr_merge
from fusion_bench.method.tall_mask.utils import generate_task_masks
from fusion_bench.method.ties_merging.ties_merging_utils import ties_merging
from safetensors.torch import load_file, save_file

Leaves = dict[str, torch.Tensor]


class Tree(torch.nn.Module):
    """A module whose parameters have the names of a checkpoint's leaves."""

    def __init__(self, leaves: Leaves) -> None:
        super().__init__()
        inner: dict[str, Leaves] = {}
        for name, leaf in leaves.items():
            first, _, rest = name.partition(".")
            if rest:
                inner.setdefault(first, {})[rest] = leaf
            else:
                self.register_parameter(first, torch.nn.Parameter(leaf.clone()))
        for first, below in inner.items():
            self.add_module(first, Tree(below))


def unified(base: Leaves, models: list[Leaves]) -> Leaves:
    """Return the base and EMR's unified vector."""
    vector, _, _ = emr_merge([{name: model[name] - base[name] for name in base} for model in models])
    return {name: base[name] + vector[name] for name in base}


def consensus(base: Leaves, models: list[Leaves], lambda_: float, experts: int, agreement: float, ties: bool) -> Leaves:
    """Return the base and the sum, or TIES's sum, where enough TALL masks are 1."""
    names = sorted(base)
    flat_base = torch.cat([base[name].flatten() for name in names])
    flat = torch.stack([torch.cat([model[name].flatten() for name in names]) for model in models])
    vectors = flat - flat_base
    total = ties_merging(vectors, reset_thresh=20, merge_func="sum") if ties else vectors.sum(0)
    masks = generate_task_masks(vectors, flat, flat_base, tv=total, tall_mask_lambda=agreement)
    merged = flat_base + lambda_ * total * (masks.sum(0) >= experts)
    parts = merged.split([base[name].numel() for name in names])
    return {name: part.reshape(base[name].shape) for name, part in zip(names, parts, strict=True)}


def carry_out(job: dict[str, Any]) -> None:
    """Merge and write one checkpoint."""
    models = [load_file(file) for file in job["models"]]
    base = load_file(job["base"]) if job["base"] else None
    torch.manual_seed(job["seed"])
    if job["method"] in ("unified", "consensus"):
        assert base is not None
        function = {"unified": unified, "consensus": consensus}[job["method"]]
        merged = function(base, models, **job["parameters"])
    else:
        pool = {f"expert {place}": Tree(model) for place, model in enumerate(models)}
        if base is not None:
            pool = {"_pretrained_": Tree(base), **pool}
        algorithm = getattr(methods, job["method"])(**job["parameters"])
        merged = algorithm.run(BaseModelPool(pool)).state_dict()
    save_file({name: tensor.detach().contiguous() for name, tensor in merged.items()}, job["out"])


def main() -> None:
    """Carry out every job of the file that the command names."""
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                carry_out(job)
        except Exception as error:  # noqa: BLE001
            Path(job["out"]).with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
