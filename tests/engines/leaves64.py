"""Methods that look at a whole leaf, written a second time: element by element, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import rel_entr, softmax


def sce64(leaves: np.ndarray, weights: list[float], select: float, weigh_by: str, merged: str) -> np.ndarray:
    """Select, calculate, erase."""
    vectors = [w * leaf.astype(np.float64).ravel() for w, leaf in zip(weights, leaves, strict=True) if w != 0]
    whole = vectors
    size = vectors[0].size
    variance = [np.var([vector[i] for vector in vectors]) for i in range(size)]
    if select < 1.0 and any(variance):
        rank = max(1, int(select * np.count_nonzero(variance) + 1e-9))
        limit = sorted(variance, reverse=True)[rank - 1]
        vectors = [np.array([vector[i] if variance[i] >= limit else 0.0 for i in range(size)]) for vector in vectors]
    strength = [np.var(vector) if weigh_by == "variance" else np.mean(vector**2) for vector in vectors]
    if not any(strength):
        strength = [1.0] * len(vectors)
    vectors = whole if merged == "all" else vectors
    result = np.zeros(size)
    for i in range(size):
        sign = -1.0 if sum(vector[i] for vector in vectors) < 0 else 1.0
        agreeing = [t for t, vector in enumerate(vectors) if vector[i] * sign > 0]
        if agreeing:
            total = sum(strength[t] for t in agreeing)
            result[i] = sum(strength[t] * vectors[t][i] for t in agreeing) / total if total else 0.0
    return result.reshape(leaves.shape[1:])


def fused64(first: np.ndarray, second: np.ndarray, outlier: float, quartiles: str = "between") -> np.ndarray:
    """Take over of the second leaf what stands out."""
    if first.size == 0:
        return first
    old, new = (np.atleast_1d(leaf.astype(np.float64)) for leaf in (first, second))
    divergence = rel_entr(softmax(new, axis=-1), softmax(old, axis=-1)).sum(axis=-1, keepdims=True)
    weight = np.abs(new - old) * divergence
    low, middle, high = np.quantile(weight, [0.25, 0.5, 0.75], method="lower" if quartiles == "below" else "linear")
    return np.where(weight >= middle + outlier * (high - low), new, old).reshape(first.shape)


def rescaled64(voices: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """RAM+ over what is one whole, element by element."""
    speaks = np.abs(voices) > params["epsilon"]
    result = np.zeros(voices.shape[1])
    for i in range(voices.shape[1]):
        among = np.flatnonzero(speaks[:, i])
        if len(among) > 1:
            result[i] = voices[among, i].mean()
        elif len(among) == 1:
            own = speaks[among[0]]
            unique = int((own & (speaks.sum(axis=0) == 1)).sum())
            share = (int(own.sum()) - unique) / unique
            result[i] = voices[among[0], i] * (1 + params["r"] * min(share, params["alpha"]))
    return result


def block_rounded64(values: np.ndarray, bits: int, coins: np.ndarray | None = None) -> np.ndarray:
    """Round one number after the other to the nearest multiple of the leaf's unit, or up where its coin says so."""
    largest = np.abs(values).max(initial=0.0)
    if largest == 0:
        return values
    unit = 2.0 ** (np.floor(np.log2(largest)) - bits + 2)
    most = 2 ** (bits - 1) - 1
    units = (values / unit).ravel().tolist()
    if coins is None:
        whole = [round(value) for value in units]
    else:
        whole = [math.floor(value + coin) for value, coin in zip(units, coins.ravel().tolist(), strict=True)]
    rounded = [max(-most, min(most, value)) * unit for value in whole]
    return np.array(rounded).reshape(values.shape)


def pcb64(voices: np.ndarray, density: float, cut: float) -> np.ndarray:
    """Parameter competition balancing over what is one whole."""
    count, size = len(voices), voices.shape[1]
    experts = sum(bool(np.any(voice)) for voice in voices)
    total, shares = voices.sum(axis=0), np.zeros_like(voices)
    clipped = np.zeros_like(voices)
    for t in range(count):
        ordered = np.sort(np.abs(voices[t]))
        off = min((size - 1) // 2, int(cut * size + 1e-9))
        low, high = ordered[off], ordered[size - 1 - off]
        clipped[t] = np.sign(voices[t]) * np.clip(np.abs(voices[t]), low, high)
        place = (np.abs(clipped[t]) - low) / (high - low if high > low else 1.0)
        score = np.maximum(0.0, np.exp(experts * (place**2 - 1)) * np.tanh(voices[t] * total))
        least = np.sort(score)[::-1][max(1, int(density * size + 1e-9)) - 1]
        most = score.max()
        shares[t] = np.maximum(0.0, score - least) / (most - least) if most > least else (score >= most) & (score > 0)
    whole = shares.sum(axis=0)
    return np.divide((clipped * shares).sum(axis=0), whole, out=np.zeros(size), where=whole > 0)
