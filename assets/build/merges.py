"""A small study of static recipes, written apart from merging_core: which reaches how much of the gap.

A recipe is chosen on validation and reported on test. Gap reached = (merged − base) ÷ (experts − base), of averages.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import CLIPVisionModel

from assets.build.scores import score
from assets.build.taskfiles import Task

Leaves = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Bench:
    """Base, experts and tasks with their heads, in one order."""

    base: CLIPVisionModel
    experts: dict[str, CLIPVisionModel]
    tasks: dict[str, Task]
    heads: dict[str, torch.Tensor]

    def averages(self, leaves: Leaves, split: str) -> dict[str, float]:
        """Return the accuracy of a merged model on each task."""
        model = copy.deepcopy(self.base)
        model.load_state_dict(leaves)
        return {name: score(model, task, self.heads[name], split).accuracy for name, task in self.tasks.items()}


def task_vectors(bench: Bench) -> dict[str, Leaves]:
    """Return expert − base for each expert, leaf by leaf."""
    base = bench.base.state_dict()
    return {name: {leaf: tensor - base[leaf] for leaf, tensor in model.state_dict().items()}
            for name, model in bench.experts.items()}  # fmt: skip


def add(base: Leaves, vector: Leaves, factors: dict[str, float]) -> Leaves:
    """Return base + factor × vector, with a factor for each leaf."""
    return {leaf: tensor + factors[leaf] * vector[leaf] for leaf, tensor in base.items()}


def summed(vectors: dict[str, Leaves]) -> Leaves:
    """Return the sum of task vectors."""
    first = next(iter(vectors.values()))
    return {leaf: torch.stack([vector[leaf] for vector in vectors.values()]).sum(0) for leaf in first}


def ties(vectors: dict[str, Leaves], density: float, mean: bool) -> Leaves:
    """Return the TIES vector: trim to the largest over the whole model, elect a sign, add or average those that agree.

    Source: Yadav et al. 2023, arXiv 2306.01708, algorithm 1.
    """
    first = next(iter(vectors.values()))
    flat = torch.stack([torch.cat([vector[leaf].flatten() for leaf in first]) for vector in vectors.values()])
    keep = max(1, round(density * flat.shape[1]))
    cut = flat.abs().kthvalue(flat.shape[1] - keep + 1, dim=1, keepdim=True).values
    flat = torch.where(flat.abs() >= cut, flat, 0)
    agreeing = torch.where(torch.sign(flat) == torch.sign(flat.sum(0)), flat, 0)
    merged = agreeing.sum(0)
    if mean:
        merged = merged / (agreeing != 0).sum(0).clamp(min=1)
    parts = merged.split([tensor.numel() for tensor in first.values()])
    return {leaf: part.view_as(tensor) for (leaf, tensor), part in zip(first.items(), parts, strict=True)}


def is_matrix(leaf: str, tensor: torch.Tensor) -> bool:
    """Say whether a leaf is the matrix of a linear layer; embeddings, biases and norms are not."""
    return tensor.dim() == 2 and "embedding" not in leaf


def isotropic(vectors: dict[str, Leaves]) -> Leaves:
    """Return the sum of task vectors with every matrix U diag(s) Vᵀ replaced by mean(s)·U Vᵀ; other leaves averaged.

    Source: Marczak et al. 2025, arXiv 2502.04959, ISO-C.
    """
    merged = {leaf: tensor / len(vectors) for leaf, tensor in summed(vectors).items()}
    for leaf, tensor in summed(vectors).items():
        if is_matrix(leaf, tensor):
            u, s, v = torch.linalg.svd(tensor, full_matrices=False)
            merged[leaf] = s.mean() * (u @ v)
    return merged


def polar(matrix: torch.Tensor) -> torch.Tensor:
    """Return the nearest matrix with orthonormal columns or rows."""
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    return u @ v


def singular(vectors: dict[str, Leaves]) -> Leaves:
    """Return, for every matrix, the leading 1/T of each expert's singular triplets, decorrelated; the rest averaged.

    Source: Gargiulo et al. 2025, arXiv 2412.00081, TSV-M.
    """
    merged = {leaf: tensor / len(vectors) for leaf, tensor in summed(vectors).items()}
    for leaf, tensor in merged.items():
        if is_matrix(leaf, tensor):
            rank = min(tensor.shape) // len(vectors)
            parts = [torch.linalg.svd(vector[leaf], full_matrices=False) for vector in vectors.values()]
            left = polar(torch.cat([u[:, :rank] for u, _, _ in parts], dim=1))
            right = polar(torch.cat([v[:rank] for _, _, v in parts]))
            merged[leaf] = left * torch.cat([s[:rank] for _, s, _ in parts]) @ right
    return merged


def profile(leaves: Leaves, layers: int, alpha: float, beta: float) -> dict[str, float]:
    """Return the LiNeS factor of each leaf: α + β·ℓ/(L−1) in the blocks, α outside (Wang et al. 2024, 2410.17146)."""
    found = {leaf: re.search(r"encoder\.layers\.(\d+)\.", leaf) for leaf in leaves}
    return {leaf: alpha + beta * (int(hit.group(1)) / (layers - 1) if hit else 0.0) for leaf, hit in found.items()}


def recipes(bench: Bench) -> Iterator[tuple[str, dict[str, float], Leaves]]:
    """Yield (method, parameters, merged leaves) for every recipe of the study."""
    base = bench.base.state_dict()
    vectors = task_vectors(bench)
    total = summed(vectors)
    layers = bench.base.config.num_hidden_layers

    def flat(factor: float) -> dict[str, float]:
        return dict.fromkeys(base, factor)

    yield "simple average", {}, add(base, total, flat(1 / len(vectors)))
    for factor in (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8):
        yield "task arithmetic", {"lambda": factor}, add(base, total, flat(factor))
    for density in (0.1, 0.2, 0.3):
        for mean, factors in ((False, (0.3, 0.4, 0.5, 0.6, 0.8)), (True, (0.8, 1.0, 1.25, 1.5, 2.0))):
            vector = ties(vectors, density, mean)
            for factor in factors:
                found = {"density": density, "lambda": factor}
                yield f"TIES ({'mean' if mean else 'sum'})", found, add(base, vector, flat(factor))
    for alpha in (0.1, 0.2, 0.3, 0.4):
        for beta in (0.1, 0.2, 0.3, 0.4, 0.6):
            yield "LiNeS", {"alpha": alpha, "beta": beta}, add(base, total, profile(base, layers, alpha, beta))
    for name, vector in (("TSV-M", singular(vectors)), ("ISO-C", isotropic(vectors))):
        for factor in (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8):
            yield name, {"lambda": factor}, add(base, vector, flat(factor))


def geometry(bench: Bench) -> dict[str, object]:
    """Return norms of the task vectors relative to the base and their largest cosine."""
    flat = {name: torch.cat([tensor.flatten().double() for tensor in vector.values()])
            for name, vector in task_vectors(bench).items()}  # fmt: skip
    size = torch.cat([tensor.flatten().double() for tensor in bench.base.state_dict().values()]).norm()
    unit = torch.stack([vector / vector.norm() for vector in flat.values()])
    cosine = (unit @ unit.T - torch.eye(len(unit), dtype=torch.float64)).abs().max()
    return {"relative_norms": {name: round(float(vector.norm() / size), 4) for name, vector in flat.items()},
            "largest_cosine": round(float(cosine), 4)}  # fmt: skip


def study(bench: Bench, base: dict[str, dict[str, float]], expert: dict[str, dict[str, float]]) -> dict[str, object]:
    """Try every recipe on validation, keep the best of each method, and score those on test.

    `base` and `expert` map split -> task -> accuracy.
    """
    best: dict[str, tuple[float, dict[str, float], Leaves]] = {}
    tried: dict[str, int] = {}
    for method, found, leaves in recipes(bench):
        tried[method] = tried.get(method, 0) + 1
        values = bench.averages(leaves, "validation")
        average = sum(values.values()) / len(values)
        if method not in best or average > best[method][0]:
            best[method] = (average, found, leaves)
    rows = []
    for method, (_, found, leaves) in best.items():
        row: dict[str, object] = {"method": method, "parameters": found, "tried": tried[method]}
        for split in ("validation", "test"):
            values = bench.averages(leaves, split)
            low, high = sum(base[split].values()), sum(expert[split].values())
            gaps = [(values[task] - base[split][task]) / (expert[split][task] - base[split][task]) for task in values]
            row[split] = {"average": round(sum(values.values()) / len(values), 6),
                          "gap_reached": round((sum(values.values()) - low) / (high - low), 4),
                          "mean_of_task_gaps": round(sum(gaps) / len(gaps), 4),
                          "accuracies": {name: round(value, 6) for name, value in values.items()}}  # fmt: skip
        rows.append(row)
    return {"chosen_on": "validation", "recipes": rows, "geometry": geometry(bench)}
