"""A merge written a second time: float64, one leaf after the other, no code of the engines, masks or methods."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tests.engines import spheres64, subspaces64
from tests.engines.leaves64 import block_rounded64, fused64, pcb64, rescaled64, sce64

Leaves = dict[str, np.ndarray]
OWNED = {
    "ties": "magnitude",
    "dare_linear": "dare",
    "dare_ties": "dare",
    "breadcrumbs": "breadcrumbs",
    "breadcrumbs_ties": "breadcrumbs",
    "della": "della",
    "della_linear": "della",
}
LAYERS = 3
TRAJECTORIES = ("swa", "swad", "swalp", "ema", "lawa", "hwa")


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
    weight_domain = ("linear", "uniform_soup", "rewarded_soup", "slerp", "karcher", "arcee_fusion", *TRAJECTORIES)
    if method in weight_domain:
        thetas = [{name: expert[name].double().numpy() for name in floating} for expert in experts]
        if method in TRAJECTORIES:
            result = trajectory64(method, thetas, params)
        elif method == "karcher":
            result = spheres64.karcher(thetas, weights, params)
        elif method == "arcee_fusion":
            outlier, quartiles = params["outlier"], params["quartiles"]
            result = {name: fused64(thetas[0][name], thetas[1][name], outlier, quartiles) for name in floating}
        elif method == "slerp":
            result = slerp64(*thetas, params["t"], params["angle"], params["straight"])
        else:
            whole = sum(weights) if params.get("normalize", True) else 1.0
            result = {name: value / whole for name, value in sum64(thetas, weights, params).items()}
        merged = {name: result[name] - zero[name] for name in floating}
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
        kind = OWNED.get(method, recipe["mask"]["kind"])
        settings = {**(params if method in OWNED else recipe["mask"]), **recipe["models"][index].get("params", {})}
        masked.append(mask64(kind, settings, tau, recipe["seed"], contents[index]))
    votes = dict.fromkeys(("ties", "dare_ties", "breadcrumbs_ties", "della"), consensus64)
    others = {
        "model_stock": stock64,
        "magmax": magmax64,
        "emr": emr64,
        "consensus": tall64,
        "ram": ram64,
        "nearswap": nearswap64,
        "sce": chosen64,
        "pcb": competing64,
        "ramplus_tl": ramplus64,
    }
    combine = {**votes, **others, **subspaces64.METHODS, **spheres64.METHODS}.get(method, sum64)
    if params.get("granularity", "leaf") != "leaf":
        combine = spheres64.apart(combine)
    merged = combine(masked, weights, params)
    factors = dict.fromkeys(floating, 1.0) if each else factors64(scaling, floating, experts, base, weights, merged)
    return {name: zero[name] + scale * factors[name] * merged[name] for name in floating}


def mask64(kind: str, settings: Mapping[str, Any], tau: Leaves, seed: int, content: str) -> Leaves:
    if kind == "none" or (settings["density"] == 1.0 and settings.get("gamma", 0.0) == 0.0):
        return tau
    density = settings["density"]
    if kind == "della":
        return {name: della64(values, settings, seed, content, name) for name, values in tau.items()}
    if kind in ("random", "dare"):
        kept = {
            name: values * coins(seed, content, name, values.size, density).reshape(values.shape)
            for name, values in tau.items()
        }
        rescale = settings["rescale"] if kind == "dare" else "none"
        return {name: rescaled(values, kept[name], rescale, density) for name, values in tau.items()}
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
        outliers = min(pool.size - 1, math.floor(settings.get("gamma", 0.0) * pool.size + 1e-9))
        k = max(1, math.floor(density * pool.size + 1e-9))
        lowest = pool[outliers:][:k][-1]
        kept[name] = np.where((np.abs(values) >= lowest) & (np.abs(values) <= pool[outliers]), values, 0.0)
    return kept


def della64(values: np.ndarray, settings: Mapping[str, Any], seed: int, content: str, leaf: str) -> np.ndarray:
    """MAGPRUNE row by row, ranks counted by comparing every element with every other."""
    density, width = settings["density"], settings["epsilon"]
    if values.size == 0:
        return values
    half = min(width / 2 if settings["epsilon_is"] == "width" else width, density, 1 - density)
    rows = values.reshape(values.shape[0] if settings["scope"] == "row" and values.ndim > 1 else 1, -1)
    sizes = np.abs(rows)
    below = (sizes[:, :, None] > sizes[:, None, :]).sum(2) + ((sizes[:, :, None] == sizes[:, None, :]).sum(2) - 1) / 2
    chance = (density - half + 2 * half * (below + 0.5) / rows.shape[1]).reshape(values.shape)
    kept = values * (words(seed, content, leaf, values.size).reshape(values.shape) < chance * 2.0**32)
    if settings["rescale"] == "probability":
        return kept / np.where(kept == 0, 1.0, chance)
    return rescaled(values, kept, settings["rescale"], 1.0)


def rescaled(values: np.ndarray, kept: np.ndarray, rescale: str, density: float) -> np.ndarray:
    """Make up for what was dropped: by the density, by Σ|τ| of the leaf, or not at all."""
    total = np.abs(kept).sum()
    if rescale == "norm":
        return kept * (np.abs(values).sum() / total) if total > 0 else kept
    return kept / density if rescale == "probability" else kept


def coins(seed: int, content: str, leaf: str, count: int, density: float) -> np.ndarray:
    """The coins of random masks."""
    return (words(seed, content, leaf, count) < round(density * 2**32)).astype(float)


def words(seed: int, content: str, leaf: str, count: int) -> np.ndarray:
    """The hashes behind the coins in plain Python integers."""
    digest = hashlib.sha256(f"basin.dare.1\n{seed}\n{content}\n{leaf}".encode()).digest()
    high, low = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")

    def mix(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
        x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    return np.array([mix(mix(i ^ high) ^ low ^ mix(0)) for i in range(count)], dtype=np.int64)


def sum64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    return {name: sum(w * vector[name] for w, vector in zip(weights, masked, strict=True)) for name in masked[0]}


def trajectory64(method: str, thetas: list[Leaves], params: Mapping[str, Any]) -> Leaves:
    """Walk along the checkpoints and keep a running average."""
    if method == "ema":
        decay = params["decay"]
        average = dict(thetas[0]) if params["start_at"] == "first" else {n: 0.0 * v for n, v in thetas[0].items()}
        steps = thetas[1:] if params["start_at"] == "first" else thetas
        for theta in steps:
            average = {name: decay * average[name] + (1 - decay) * theta[name] for name in average}
        correction = 1.0 if params["start_at"] == "first" else 1 - decay ** len(thetas)
        return {name: value / correction for name, value in average.items()}
    if method == "swalp" and params["rounded"] != "average":
        thetas = [{name: shortened64(values, params) for name, values in theta.items()} for theta in thetas]
    if method in ("swa", "swad", "swalp"):
        chosen = thetas[params["start"] : len(thetas) - params.get("end", 0) : params.get("every", 1)]
    else:
        chosen = thetas[-params["last"] * params.get("parallel", 1) :]
    mean = {name: np.mean([theta[name] for theta in chosen], axis=0) for name in thetas[0]}
    if method == "swalp" and params["rounded"] != "each":
        return {name: shortened64(values, params) for name, values in mean.items()}
    return mean


def shortened64(values: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """Few bits: to the nearest, or by coins that are hashed from the numbers themselves."""
    if params["rounding"] == "nearest" or not np.any(values):
        return block_rounded64(values, params["bits"])
    # The coins are those of the numbers' sizes as multiples of the unit.
    sizes = np.abs(values) / 2.0 ** (np.floor(np.log2(np.abs(values).max())) - params["bits"] + 2)
    digest = hashlib.sha256(np.ascontiguousarray(sizes).tobytes()).hexdigest()
    coins_of_leaf = words(0, digest, "swalp", values.size).reshape(values.shape) / 2**32
    return np.sign(values) * block_rounded64(np.abs(values), params["bits"], coins_of_leaf)


def slerp64(first: Leaves, second: Leaves, t: float, within: str, straight: str = "nearly") -> Leaves:
    """Turn unit vectors by the angle between them, then give each its length back."""
    pools = {name: (first[name].ravel(), second[name].ravel()) for name in first}
    if within == "model":
        whole = tuple(np.concatenate([pool[side] for pool in pools.values()]) for side in (0, 1))
        pools = dict.fromkeys(pools, (whole[0], whole[1]))
    result = {}
    for name, (a, b) in pools.items():
        la, lb = np.linalg.norm(a), np.linalg.norm(b)
        angle = np.arccos(np.clip((a / la) @ (b / lb), -1, 1)) if la > 0 and lb > 0 else 0.0
        if la == 0 or lb == 0 or abs(np.cos(angle)) > (0.9995 if straight == "nearly" else 1 - 1e-15):
            result[name] = (1 - t) * first[name] + t * second[name]
        else:
            # Along the arc in the plane of both: cos and sin of t·angle on an orthonormal pair, for equal lengths.
            normal = (second[name] / lb - np.cos(angle) * first[name] / la) / np.sin(angle)
            unit = np.cos(t * angle) * first[name] / la + np.sin(t * angle) * normal
            share = np.sin(t * angle) / np.sin(angle)
            result[name] = la * unit + share * (1 - la / lb) * second[name]
    return result


def stock64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name in masked[0]:
        flat = [vector[name].ravel() for vector in masked]
        top, bottom = 0.0, 0.0
        for i in range(len(flat)):
            for j in range(i):
                product = np.linalg.norm(flat[i]) * np.linalg.norm(flat[j])
                cosine = np.clip(flat[i] @ flat[j] / product, -1, 1) if product > 0 else 0.0
                top += weights[i] * weights[j] * (np.arccos(cosine) if params["mean_of"] == "angles" else cosine)
                bottom += weights[i] * weights[j]
        angle = np.cos(top / bottom) if params["mean_of"] == "angles" else top / bottom
        angle = angle if params["below_zero"] == "beyond" else max(0.0, angle)
        count = sum(weights) ** 2 / sum(weight**2 for weight in weights)
        divisor = 1 + (count - 1) * angle
        ratio = count * angle / divisor if divisor > 1e-6 else 0.0
        merged[name] = ratio * sum64(masked, weights, params)[name] / sum(weights)
    return merged


def consensus64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    equal = params.get("vote") == "equal"
    total = sum64(masked, [1.0] * len(weights) if equal else weights, params)
    # Sums that cancel in float32 but not in float64 would vote differently; the test data has exact ties only.
    balance = sum(int((v > 0).sum()) - int((v < 0).sum()) for v in total.values())
    balance = 0 if params.get("cancelled") == "positive" else balance
    merged = {}
    for name, values in total.items():
        sign = np.where(values == 0, -1.0 if balance < 0 else 1.0, np.sign(values))
        top, bottom = np.zeros_like(values), np.zeros_like(values)
        for weight, vector in zip(weights, masked, strict=True):
            voice = weight * vector[name]
            agrees = np.sign(vector[name] if equal else voice) == sign
            top += np.where(agrees, voice, 0.0)
            bottom += np.where(agrees, abs(weight), 0.0)
        mean = params["combine"] == "mean"
        merged[name] = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0) if mean else top
    return merged


def magmax64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name in masked[0]:
        voices = np.stack([w * vector[name] for w, vector in zip(weights, masked, strict=True)])
        # Sorted downwards, of two opposite numbers the positive one is met first.
        voices = -np.sort(-voices, axis=0)
        merged[name] = np.take_along_axis(voices, np.abs(voices).argmax(axis=0)[None], axis=0)[0]
    return merged


def emr64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name, total in sum64(masked, weights, params).items():
        voices = np.stack([w * vector[name] for w, vector in zip(weights, masked, strict=True)])
        agrees = np.sign(voices) == np.sign(total)
        among = np.where(agrees, np.abs(voices), 0.0)
        merged[name] = np.sign(total) * (among.sum(axis=0) if params.get("added") else among.max(axis=0))
    return merged


def tall64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    totals = sum64(masked, weights, params)
    if params["vector"] == "ties":
        settings = {"density": params["density"], "scope": "model"}
        trimmed = [mask64("magnitude", settings, vector, 0, "") for vector in masked]
        totals = emr64(trimmed, weights, {**params, "added": True})
    for name, total in totals.items():
        voices = np.stack([w * vector[name] for w, vector in zip(weights, masked, strict=True)])
        votes = (np.abs(voices) > params["agreement"] * np.abs(total - voices)).sum(axis=0)
        merged[name] = np.where(votes >= params["experts"], total, 0.0)
    return merged


def ram64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    merged = {}
    for name in masked[0]:
        voices = np.stack([w * vector[name] for w, vector in zip(weights, masked, strict=True)])
        spoken = np.ma.masked_array(voices, np.abs(voices) <= params["epsilon"])
        merged[name] = np.ma.filled(spoken.mean(axis=0), 0.0)
    return merged


def ramplus64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    rows = {name: np.stack([w * v[name].ravel() for w, v in zip(weights, masked, strict=True)]) for name in masked[0]}
    if params["counted"] == "leaf":
        flat = {name: rescaled64(voices, params) for name, voices in rows.items()}
    else:
        whole = rescaled64(np.concatenate(list(rows.values()), axis=1), params)
        ends = np.cumsum([voices.shape[1] for voices in rows.values()])[:-1]
        flat = dict(zip(rows, np.split(whole, ends), strict=True))
    return {name: flat[name].reshape(values.shape) for name, values in masked[0].items()}


def competing64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    rows = [np.concatenate([w * values.ravel() for values in v.values()]) for w, v in zip(weights, masked, strict=True)]
    merged = pcb64(np.stack(rows), params["density"], params["cut"])
    parts = np.split(merged, np.cumsum([values.size for values in masked[0].values()])[:-1])
    return {name: part.reshape(masked[0][name].shape) for name, part in zip(masked[0], parts, strict=True)}


def chosen64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    return {
        name: sce64(
            np.stack([v[name] for v in masked]), weights, params["select"], params["weigh_by"], params["merged"]
        )
        if masked[0][name].size
        else masked[0][name]
        for name in masked[0]
    }


def nearswap64(masked: list[Leaves], weights: list[float], params: Mapping[str, Any]) -> Leaves:
    near = {
        name: np.minimum(1.0, params["t"] / np.maximum(np.abs(vector), 1e-300)) for name, vector in masked[0].items()
    }
    return {name: near[name] * vector for name, vector in masked[0].items()}


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
