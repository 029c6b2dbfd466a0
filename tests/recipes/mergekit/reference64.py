"""What mergekit computes, in float64, written from descriptions of its behaviour; nothing of this project is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Leaves = dict[str, np.ndarray]
BLOCKS = 3


@dataclass(frozen=True)
class Case64:
    """A recipe of mergekit as plain values, with the leaves of its models by name."""

    recipe: Mapping[str, Any]
    leaves: Mapping[str, Leaves]

    def setting(self, name: str, leaf: str, default: Any, model: str | None = None) -> Any:
        """Look a parameter up as mergekit does: the model's own, then the merge's, each leaf by its own case."""
        places = [entry.get("parameters", {}) for entry in self.recipe["models"] if entry["model"] == model]
        for settings in [*places, self.recipe.get("parameters", {})]:
            value = valued(settings[name], leaf) if name in settings else None
            if value is not None:
                return value
        return default


def valued(setting: Any, leaf: str) -> Any:
    """A number, a line over relative depth (its start outside the blocks), or the first case that takes the leaf."""
    if not isinstance(setting, list):
        return setting
    if isinstance(setting[0], dict):
        for case in setting:
            if case.get("filter", "*") == "*" or case["filter"] in leaf:
                return valued(case["value"], leaf)
        return None
    parts = leaf.split(".")
    t = int(parts[2]) / (BLOCKS - 1) if parts[:2] == ["model", "layers"] else 0.0
    return float(np.interp(t, np.linspace(0.0, 1.0, len(setting)), setting)) if len(setting) > 1 else setting[0]


def merged64(recipe: Mapping[str, Any], leaves: Mapping[str, Leaves]) -> Leaves:
    """Carry out a recipe leaf by leaf."""
    case = Case64(recipe, leaves)
    names = [entry["model"] for entry in recipe["models"]]
    return {leaf: np.asarray(_leaf(case, names, leaf)) for leaf in next(iter(leaves.values()))}


def _leaf(case: Case64, names: Sequence[str], leaf: str) -> np.ndarray:
    method, base = case.recipe["merge_method"], case.recipe.get("base_model")
    experts = [name for name in names if name != base]
    x = {name: case.leaves[name][leaf] for name in {*names, *([base] if base else [])}}

    def weights(of: Sequence[str]) -> np.ndarray:
        return np.array([case.setting("weight", leaf, None, name) for name in of])

    if method == "linear":
        w = weights(names)
        total = sum(one * x[name] for one, name in zip(w, names, strict=True))
        return total / w.sum() if case.setting("normalize", leaf, True) else total
    if method == "passthrough":
        return x[names[0]] * case.setting("scale", leaf, 1.0, names[0])
    if method == "slerp":
        return slerp(x[base], x[experts[0]], case.setting("t", leaf, None))
    if method == "nuslerp":
        w = weights(experts)
        t = w[1] / w.sum()
        origin = x[base] if base else 0.0
        first, second = (x[name] - origin for name in experts)
        return origin + turned(first, second, t, case, leaf)
    if method == "multislerp":
        w = weights(experts)
        if case.setting("normalize_weights", leaf, True):
            w = w / w.sum()
        origin = x[base] if base else 0.0
        vectors = [x[name] - origin for name in experts]
        lengths = [np.linalg.norm(vector) for vector in vectors]
        mean = sum(one * vector / length for one, vector, length in zip(w, vectors, lengths, strict=True))
        return origin + mean / np.linalg.norm(mean) * sum(w * lengths)
    if method == "karcher":
        return karcher([x[name] for name in names], int(case.setting("max_iter", leaf, 10)), 1e-5)
    if method == "arcee_fusion":
        return fused(x[base], x[experts[0]])
    d = [x[name] - x[base] for name in experts]
    if method == "nearswap":
        t = case.setting("t", leaf, None)
        share = np.clip(t / np.maximum(np.abs(d[0]), 1e-300), 0.0, 1.0)
        return share * x[experts[0]] + (1.0 - share) * x[base]
    if method == "model_stock":
        return stock(x[base], [x[name] for name in experts], case.setting("filter_wise", leaf, False))
    if method == "sce":
        return x[base] + sce(np.stack(d), case.setting("select_topk", leaf, 1.0))
    if method in ("ram", "ramplus_tl"):
        return x[base] + ram(case, leaf, np.stack(d), plus=method != "ram")
    return x[base] + case.setting("lambda", leaf, 1.0) * _of_task_vectors(case, method, experts, leaf, d, weights)


def _of_task_vectors(
    case: Case64, method: str, experts: Sequence[str], leaf: str, d: list[np.ndarray], weights: Any
) -> np.ndarray:
    w = weights(experts).reshape(-1, *[1] * d[0].ndim)
    if method == "ties":
        d = [largest(one, case.setting("density", leaf, 1.0, name)) for one, name in zip(d, experts, strict=True)]
    if method.startswith("breadcrumbs"):
        d = [
            between(one, case.setting("density", leaf, 1.0, name), case.setting("gamma", leaf, 0.01, name))
            for one, name in zip(d, experts, strict=True)
        ]
    weighted = np.stack(d) * w
    mask = np.ones_like(weighted)
    if method in ("ties", "dare_ties", "breadcrumbs_ties", "della"):
        mask = (np.sign(weighted) == np.where(weighted.sum(axis=0) >= 0.0, 1.0, -1.0)).astype(float)
    total = (weighted * mask).sum(axis=0)
    if not case.setting("normalize", leaf, method in ("ties", "della")):
        return total
    divisor = (w * mask).sum(axis=0)
    return total / np.where(np.abs(divisor) < 1e-8, 1.0, divisor)


def largest(d: np.ndarray, density: float) -> np.ndarray:
    if density >= 1.0:
        return d
    kept = np.argsort(-np.abs(d).reshape(-1), kind="stable")[: int(density * d.size)]
    return masked(d, kept)


def between(d: np.ndarray, density: float, gamma: float) -> np.ndarray:
    if density >= 1.0:
        return d
    top = int(gamma * d.size)
    low = d.size - int(density * d.size) - top
    return masked(d, np.argsort(np.abs(d).reshape(-1), kind="stable")[low : d.size - top])


def masked(d: np.ndarray, kept: np.ndarray) -> np.ndarray:
    mask = np.zeros(d.size)
    mask[kept] = 1.0
    return d * mask.reshape(d.shape)


def slerp(first: np.ndarray, second: np.ndarray, t: float, parallel: float = 0.9995) -> np.ndarray:
    cosine = float((first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second)))
    if abs(cosine) > parallel:
        return (1.0 - t) * first + t * second
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    return (np.sin((1.0 - t) * angle) * first + np.sin(t * angle) * second) / np.sin(angle)


def turned(first: np.ndarray, second: np.ndarray, t: float, case: Case64, leaf: str) -> np.ndarray:
    if case.setting("nuslerp_flatten", leaf, True) or first.ndim == 1:
        return slerp(first, second, t, 1.0 - 1e-15)
    by_column = case.setting("nuslerp_row_wise", leaf, False)
    one, other = (first.T, second.T) if by_column else (first, second)
    made = np.stack([slerp(a, b, t, 1.0 - 1e-15) for a, b in zip(one, other, strict=True)])
    return made.T if by_column else made


def karcher(models: Sequence[np.ndarray], most: int, tolerance: float) -> np.ndarray:
    lengths = [np.linalg.norm(model) for model in models]
    units = [model / length for model, length in zip(models, lengths, strict=True)]
    here = sum(units) / np.linalg.norm(sum(units))
    for _ in range(most):
        step = np.zeros_like(here)
        for unit in units:
            angle = np.arccos(np.clip((unit * here).sum(), -1.0, 1.0))
            if angle > 1e-12:
                step += angle / np.sin(angle) * (unit - np.cos(angle) * here) / len(units)
        length = np.linalg.norm(step)
        if length < tolerance:
            break
        here = np.cos(length) * here + np.sin(length) * step / length
    return np.mean(lengths) * here


def stock(base: np.ndarray, models: Sequence[np.ndarray], by_row: bool) -> np.ndarray:
    count = len(models)
    flat = [(model - base).reshape(base.shape[0] if by_row and base.ndim > 1 else 1, -1) for model in models]
    pairs = [(a, b) for at, a in enumerate(flat) for b in flat[at + 1 :]]
    cosines = [(a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)) for a, b in pairs]
    cosine = np.mean(cosines, axis=0)
    t = count * cosine / (1.0 + (count - 1) * cosine)
    return base + (t[:, None] * np.mean(flat, axis=0)).reshape(base.shape)


def sce(d: np.ndarray, share: float) -> np.ndarray:
    chosen = d
    if share < 1.0:
        variance = d.var(axis=0, ddof=1).reshape(-1)
        kept = np.argsort(-variance, kind="stable")[: int(np.count_nonzero(variance) * share)]
        mask = np.zeros(variance.size)
        mask[kept] = 1.0
        chosen = d * mask.reshape(d.shape[1:])
    strength = (chosen**2).reshape(len(d), -1).mean(axis=1)
    w = (strength / strength.sum()).reshape(-1, *[1] * (d.ndim - 1))
    mask = np.sign(chosen) == np.where(chosen.sum(axis=0) >= 0.0, 1.0, -1.0)
    return (chosen * w * mask).sum(axis=0) / np.maximum((w * mask).sum(axis=0), 1e-6)


def ram(case: Case64, leaf: str, d: np.ndarray, *, plus: bool) -> np.ndarray:
    changed = np.abs(d) > case.setting("epsilon", leaf, 1e-5)
    count = changed.sum(axis=0)
    shared = np.where(count > 1, (d * changed).sum(axis=0) / np.maximum(count, 1), 0.0)
    total = shared
    for one, own in zip(d, changed, strict=True):
        alone, together = own & (count == 1), own & (count > 1)
        ratio = together.sum() / alone.sum() if alone.sum() else 0.0
        gain = 1.0 + case.setting("r", leaf, 0.1) * min(ratio, case.setting("alpha", leaf, 0.2)) if plus else 1.0
        total = total + np.where(alone, one * gain, 0.0)
    return total


def fused(base: np.ndarray, other: np.ndarray) -> np.ndarray:
    def likely(rows: np.ndarray) -> np.ndarray:
        shifted = rows - rows.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    divergence = (np.exp(likely(other)) * (likely(other) - likely(base))).sum(axis=-1, keepdims=True)
    importance = np.abs(other - base) * divergence
    low, middle, high = np.quantile(importance, [0.25, 0.5, 0.75], method="lower")
    return np.where(importance >= middle + 1.5 * (high - low), other, base)
