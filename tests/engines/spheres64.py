"""The methods of the sphere, written a second time: float64, on the vectors themselves instead of inner products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Leaves = dict[str, np.ndarray]
Combine = Callable[[list[Leaves], list[float], Mapping[str, Any]], Leaves]


def karcher(models: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    """Fixed-point steps with logarithm and exponential on the unit sphere."""
    merged = {}
    for name, first in models[0].items():
        vectors, shares = [model[name].ravel() for model in models], np.array(weights) / sum(weights)
        start = _direction(vectors, list(shares))
        if start is None:
            merged[name] = sum(w * v for w, v in zip(shares, vectors, strict=True)).reshape(first.shape)
            continue
        here, units = start, [(w, v / np.linalg.norm(v)) for w, v in zip(shares, vectors, strict=True) if v.any()]
        for _ in range(params["iterations"]):
            step = np.zeros_like(here)
            for share, unit in units:
                across = unit - (unit @ here) * here
                size = np.linalg.norm(across)
                if size > 1e-8:
                    step += share * np.arctan2(size, unit @ here) * across / size
            step /= sum(share for share, _ in units)
            length = np.linalg.norm(step)
            if length < params["tolerance"]:
                break
            here = np.cos(length) * here + np.sin(length) * step / length
        size = sum(w * np.linalg.norm(v) for w, v in zip(shares, vectors, strict=True))
        merged[name] = (size * here).reshape(first.shape)
    return merged


def multislerp(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    """The other tool's formula with its step on the tangent plane, which turns out to be zero."""
    shares = [weight / (sum(weights) if params["normalize"] else 1.0) for weight in weights]
    merged = {}
    for name, first in masked[0].items():
        vectors = [model[name].ravel() for model in masked]
        middle = _direction(vectors, shares)
        if middle is None:
            merged[name] = sum(w * v for w, v in zip(shares, vectors, strict=True)).reshape(first.shape)
            continue
        units = [(w, v / np.linalg.norm(v)) for w, v in zip(shares, vectors, strict=True) if v.any()]
        tangent = sum(w * (unit - (unit @ middle) * middle) for w, unit in units)
        length = np.linalg.norm(tangent)
        turned = np.cos(length) * middle + (np.sin(length) / length * tangent if length > 0 else 0.0)
        size = sum(w * np.linalg.norm(v) for w, v in zip(shares, vectors, strict=True))
        merged[name] = (size * turned).reshape(first.shape)
    return merged


def nuslerp(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    """From the first to the second by their weights, in the plane of both."""
    t = weights[1] / sum(weights)
    merged = {}
    for name, first in masked[0].items():
        a, b = (model[name].ravel() for model in masked)
        la, lb = np.linalg.norm(a), np.linalg.norm(b)
        close = la == 0 or lb == 0 or abs(a @ b / la / lb) > 0.9995
        angle = 0.0 if close else np.arccos(np.clip(a @ b / la / lb, -1, 1))
        parts = (1 - t, t) if close else (np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle))
        merged[name] = (parts[0] * a + parts[1] * b).reshape(first.shape)
    return merged


def apart(combine: Combine) -> Combine:
    """Return the same method, each row or column of a leaf taken as a leaf of its own."""

    def merge(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
        merged = {}
        for name, first in masked[0].items():
            if first.ndim < 2 or first.size == 0:  # noqa: PLR2004
                merged[name] = combine([{name: model[name]} for model in masked], weights, params)[name]
                continue
            tables = [model[name].reshape(first.shape[0], -1) for model in masked]
            by_column = params["granularity"] == "column"
            lines = [table.T if by_column else table for table in tables]
            rows = [
                combine([{"row": line[index]} for line in lines], weights, params)["row"]
                for index in range(len(lines[0]))
            ]
            found = np.stack(rows)
            merged[name] = (found.T if by_column else found).reshape(first.shape)
        return merged

    return merge


def _direction(vectors: list[np.ndarray], weights: list[float]) -> np.ndarray | None:
    mean = sum(w * v / np.linalg.norm(v) if v.any() else 0 * v for w, v in zip(weights, vectors, strict=True))
    length = np.linalg.norm(mean)
    return mean / length if length > 1e-8 else None


METHODS: dict[str, Combine] = {"multislerp": multislerp, "nuslerp": nuslerp}
