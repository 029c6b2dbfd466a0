"""The methods that see matrices, written a second time: float64, numpy's SVD and least squares, a loop over leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Leaves = dict[str, np.ndarray]


def iso_c(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    return {
        name: _flat_spectrum(sum(leaves)) if whole else _mean(leaves)
        for name, leaves, whole in _each(masked, weights, params)
    }


def tsv_m(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name, leaves, whole in _each(masked, weights, params):
        if not whole:
            merged[name] = _mean(leaves)
            continue
        rank = min(leaves[0].shape)
        keep = rank if params["keep"] == "all" else max(1, rank // len(leaves))
        parts = [_svd(leaf) for leaf in leaves]
        left = _turned(np.concatenate([u[:, :keep] for u, _, _ in parts], axis=1))
        right = _turned(np.concatenate([v[:keep] for _, _, v in parts]))
        merged[name] = left @ np.diag(np.concatenate([s[:keep] for _, s, _ in parts])) @ right
    return merged


def iso_cts(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name, leaves, whole in _each(masked, weights, params):
        if not whole:
            merged[name] = _mean(leaves)
            continue
        rank, count = min(leaves[0].shape), len(leaves)
        own = min(round((rank - int(params["common"] * rank)) / count), rank // count)
        common = rank - own * count
        u, s, v = (part[:common] if part.ndim == 1 else part for part in _svd(sum(leaves)))
        lefts, values, rights = [u[:, :common]], [s], [v[:common]]
        for leaf in leaves:
            outside = leaf - u[:, :common] @ u[:, :common].T @ leaf
            a, b, c = _svd(outside, np.linalg.norm(leaf))
            lefts.append(a[:, :own])
            values.append(b[:own])
            rights.append(c[:own])
        turned = _turned(np.concatenate(lefts, axis=1)) @ _turned(np.concatenate(rights))
        merged[name] = np.concatenate(values).sum() / rank * turned
    return merged


def wudi(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name, leaves, whole in _each(masked, weights, params):
        there = [leaf for leaf in leaves if np.any(leaf)]
        lengths = [np.linalg.norm(leaf) ** (0.5 if params["divide_by"] == "norm" else 1.0) for leaf in there]
        if not whole or not there:
            merged[name] = _mean(leaves) * (params["elsewhere"] == "average" or whole)
        elif params["solver"] == "exact":
            # min ‖M·[…, τᵀ/‖τ‖, …] − […, τ·τᵀ/‖τ‖, …]‖: a plain least-squares problem.
            inputs = np.concatenate([leaf.T / length for leaf, length in zip(there, lengths, strict=True)], axis=1)
            outputs = np.concatenate(
                [leaf @ leaf.T / length for leaf, length in zip(there, lengths, strict=True)], axis=1
            )
            merged[name] = np.linalg.lstsq(inputs.T, outputs.T, rcond=1e-6)[0].T
        else:
            merged[name] = _adam(there, [length**2 for length in lengths], params["steps"], params["step_size"])
    return merged


def _adam(leaves: list[np.ndarray], divisors: list[float], steps: int, size: float) -> np.ndarray:
    here = sum(leaves)
    first, second = np.zeros_like(here), np.zeros_like(here)
    for step in range(1, steps + 1):
        slope = sum(2 * (here - leaf) @ leaf.T @ leaf / by for leaf, by in zip(leaves, divisors, strict=True))
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        here = here - size * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return here


def _each(
    masked: list[Leaves], weights: list[float], params: Mapping[str, Any]
) -> list[tuple[str, list[np.ndarray], bool]]:
    found = []
    for name, first in masked[0].items():
        leaves = [weight * vector[name] for weight, vector in zip(weights, masked, strict=True) if weight != 0.0]
        table = "embed" in name and params["embeddings"] == "average"
        found.append((name, leaves, first.ndim == 2 and min(first.shape) > 1 and not table))
    return found


def _mean(leaves: list[np.ndarray]) -> np.ndarray:
    return np.asarray(sum(leaves) / len(leaves))


def _svd(matrix: np.ndarray, scale: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The thin SVD; what is zero within float32 is zero, so that no arbitrary vector stands for it."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    there = s > (s[0] if scale is None else scale) * np.sqrt(max(matrix.shape)) * 2.0**-23
    return u * there, s * there, v * there[:, None]


def _turned(matrix: np.ndarray) -> np.ndarray:
    u, _, v = _svd(matrix)
    return u @ v


def _flat_spectrum(matrix: np.ndarray) -> np.ndarray:
    u, s, v = _svd(matrix)
    return s.mean() * (u @ v)


METHODS = {"iso_c": iso_c, "iso_cts": iso_cts, "tsv_m": tsv_m, "wudi": wudi}
