"""A merge written a second time: float64, one leaf after the other, no code of the engines, masks or methods."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

Leaves = dict[str, np.ndarray]
LAYERS = 3


def merge64(
    recipe: Mapping[str, Any],
    base: Mapping[str, torch.Tensor],
    experts: list[Mapping[str, torch.Tensor]],
    contents: list[str],
) -> Leaves:
    """Carry out a complete recipe (every default filled in) in float64; masks compare float32 magnitudes, as stored."""
    method, params = recipe["method"]["name"], recipe["method"]["params"]
    floating = [name for name, tensor in base.items() if tensor.is_floating_point()]
    zero = {name: base[name].double().numpy() for name in floating}
    weights = [model["weight"] for model in recipe["models"]]
    scale = recipe["lambda"]
    if method == "linear":
        whole = sum(weights) if params["normalize"] else 1.0
        merged = {
            name: sum(w * e[name].double().numpy() for w, e in zip(weights, experts, strict=True)) / whole - zero[name]
            for name in floating
        }
        factors = factors64(recipe["layer_scaling"], floating, experts, base, weights, merged)
        return {name: zero[name] + scale * factors[name] * merged[name] for name in floating}

    taus = [{name: (e[name].float() - base[name].float()).double().numpy() for name in floating} for e in experts]
    scaling = dict(recipe["layer_scaling"])
    each = scaling.get("applies_to") == "each"
    if each:
        factors = factors64(scaling, floating, experts, base, weights, {})
        # The masks see float32 numbers, so a threshold never falls between two roundings.
        taus = [
            {
                name: np.float32(tau[name].astype(np.float32) * np.float32(factors[name])).astype(np.float64)
                for name in tau
            }
            for tau in taus
        ]
    masked = []
    for index, tau in enumerate(taus):
        kind = {"ties": "magnitude", "dare_linear": "dare", "dare_ties": "dare"}.get(method, recipe["mask"]["kind"])
        owned = method in ("ties", "dare_linear", "dare_ties")
        settings = {**(params if owned else recipe["mask"]), **recipe["models"][index].get("params", {})}
        masked.append(mask64(kind, settings, tau, recipe["seed"], contents[index]))
    combine = consensus64 if method in ("ties", "dare_ties") else sum64
    merged = combine(masked, weights, params)
    factors = dict.fromkeys(floating, 1.0) if each else factors64(scaling, floating, experts, base, weights, merged)
    return {name: zero[name] + scale * factors[name] * merged[name] for name in floating}


def mask64(kind: str, settings: Mapping[str, Any], tau: Leaves, seed: int, content: str) -> Leaves:
    if kind == "none" or settings["density"] == 1.0:
        return tau
    density = settings["density"]
    if kind == "dare":
        return {
            name: values * coins(seed, content, name, values.size, density).reshape(values.shape) / density
            for name, values in tau.items()
        }
    pools = {name: values.ravel() for name, values in tau.items()}
    if settings["scope"] == "model":
        everything = np.concatenate(list(pools.values()))
        pools = dict.fromkeys(pools, everything)
    kept = {}
    for name, values in tau.items():
        if values.size == 0:
            kept[name] = values
            continue
        pool = np.sort(np.abs(pools[name]))[::-1]
        k = max(1, math.floor(density * pool.size + 1e-9))
        kept[name] = np.where(np.abs(values) >= pool[k - 1], values, 0.0)
    return kept


def coins(seed: int, content: str, leaf: str, count: int, density: float) -> np.ndarray:
    """DARE's coins in plain Python integers."""
    digest = hashlib.sha256(f"basin.dare.1\n{seed}\n{content}\n{leaf}".encode()).digest()
    high, low = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")

    def mix(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
        x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    return np.array([mix(mix(i ^ high) ^ low ^ mix(0)) < round(density * 2**32) for i in range(count)], dtype=float)


def sum64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    return {name: sum(w * vector[name] for w, vector in zip(weights, masked, strict=True)) for name in masked[0]}


def consensus64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    total = sum64(masked, weights, params)
    # Sums that cancel in float32 but not in float64 would vote differently; the test data has exact ties only.
    balance = sum(int((v > 0).sum()) - int((v < 0).sum()) for v in total.values())
    merged = {}
    for name, values in total.items():
        sign = np.where(values == 0, -1.0 if balance < 0 else 1.0, np.sign(values))
        top, bottom = np.zeros_like(values), np.zeros_like(values)
        for weight, vector in zip(weights, masked, strict=True):
            voice = weight * vector[name]
            agrees = np.sign(voice) == sign
            top += np.where(agrees, voice, 0.0)
            bottom += np.where(agrees, abs(weight), 0.0)
        mean = params["combine"] == "mean"
        merged[name] = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0) if mean else top
    return merged


def factors64(
    scaling: Mapping[str, Any],
    names: list[str],
    experts: list[Mapping[str, torch.Tensor]],
    base: Mapping[str, torch.Tensor],
    weights: list[float],
    merged: Leaves,
) -> dict[str, float]:
    kind = scaling["kind"]
    if kind == "constant":
        return dict.fromkeys(names, 1.0)
    if kind == "curve":
        points = scaling["points"]
        inside = [float(np.interp(at / (LAYERS - 1), np.linspace(0, 1, len(points)), points)) for at in range(LAYERS)]
    else:
        alpha, beta = (
            (scaling["gamma"], 1 - scaling["gamma"])
            if kind == "lines_gamma"
            else (scaling.get("alpha"), scaling["beta"])
        )
        if alpha is None:
            summed = {
                n: sum(w * (e[n].double() - base[n].double()).numpy() for w, e in zip(weights, experts, strict=True))
                for n in names
            }
            total = sum(np.abs(v).sum() for v in summed.values())
            below = sum(np.abs(v).sum() for v in merged.values())
            alpha = total / below / (1 if scaling["alpha_rule"] == "mean" else len(experts))
        inside = [alpha + beta * at / (LAYERS - 1) for at in range(LAYERS)]
    last = inside[-1] if scaling["outside"] == "depth" else inside[0]
    found = {}
    for name in names:
        if ".layers." in name:
            found[name] = inside[int(name.split(".layers.")[1].split(".")[0])]
        else:
            found[name] = inside[0] if name.startswith("embeddings") else last
    return found
