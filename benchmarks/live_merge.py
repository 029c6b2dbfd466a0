"""Time the live engine in this process: what a slider costs before anything is evaluated or drawn.

    python -m benchmarks.live_merge [--threads 2] [--repeats 15] [--width 128] [--layers 6] [--device cpu]
                                    [--methods] [--json]

Builds a family like the zoo's (a vision transformer of 1.25 M parameters and six experts) in a temporary folder, moves
one setting at a time by a new value each time, and prints the median and the worst of each. Targets on two CPU cores:
λ ≤ 3 ms, weight ≤ 15 ms, density (magnitude, model) ≤ 60 ms, layers ≤ 60 ms after the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import method
from merging_core.process import keep_freed_memory
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe

EXPERTS = 6


def shapes(width: int, layers: int, patch: int = 8, tokens: int = 17) -> dict[str, tuple[int, ...]]:
    """Return the leaves of a CLIP vision tower."""
    hidden = 4 * width
    found: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (tokens, width),
        "pre_layrnorm.weight": (width,),
        "pre_layrnorm.bias": (width,),
        "post_layernorm.weight": (width,),
        "post_layernorm.bias": (width,),
    }
    for layer in range(layers):
        block = f"encoder.layers.{layer}"
        for norm in ("layer_norm1", "layer_norm2"):
            found |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= {f"{block}.self_attn.{name}.weight": (width, width), f"{block}.self_attn.{name}.bias": (width,)}
        found |= {f"{block}.mlp.fc1.weight": (hidden, width), f"{block}.mlp.fc1.bias": (hidden,)}
        found |= {f"{block}.mlp.fc2.weight": (width, hidden), f"{block}.mlp.fc2.bias": (width,)}
    return found


def write_family(folder: Path, width: int, layers: int) -> tuple[str, list[str]]:
    """Write a base and experts whose task vectors have heavy tails, as fine-tuning leaves them."""
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    base = {name: draw(shape) * 0.1 for name, shape in shapes(width, layers).items()}
    refs = []
    for name in ("base", *(f"expert{index}" for index in range(EXPERTS))):
        moved = {
            leaf: value if name == "base" else value + 0.003 * draw(tuple(value.shape)) * draw(tuple(value.shape)).abs()
            for leaf, value in base.items()
        }
        (folder / name).mkdir()
        save_file(moved, folder / name / "model.safetensors", metadata={"format": "pt"})
        refs.append(f"file:{folder / name}")
    return refs[0], refs[1:]


def recipe(base: str, experts: list[str], name: str, params: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """Return a recipe for the family, with settings as JSON holds them."""
    weights = changes.pop("weights", [1.0] * len(experts))
    models = [{"ref": ref, "weight": weight} for ref, weight in zip(experts, weights, strict=True)]
    chosen = {"name": name, "params": params or {}}
    given = {"version": 1, "base": base, "models": models, "method": chosen, **changes}
    return parse_recipe(given)


def timed(repeats: int, step: Callable[[int], object]) -> dict[str, float]:
    """Run a step for 0, 1, … and return median and worst wall-clock and median CPU time in milliseconds."""
    wall, cpu = [], []
    for index in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        step(index)
        wall.append((time.perf_counter() - start) * 1e3)
        cpu.append((time.process_time() - start_cpu) * 1e3)
    return {"median": statistics.median(wall), "worst": max(wall), "best": min(wall), "cpu": statistics.median(cpu)}


def measure(engine: LiveEngine, base: str, experts: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Return the timings of each kind of change."""

    def ties(params: dict[str, Any] | None = None, **changes: Any) -> Recipe:
        return recipe(base, experts, "ties", params, **changes)

    def density(index: int) -> Recipe:
        return ties({"density": 0.1 + 0.01 * index})

    lines = {"kind": "lines", "alpha": 0.5, "beta": 0.5}
    found: dict[str, dict[str, float]] = {}
    found["first merge (reads the files)"] = timed(1, lambda _: engine.merge(ties()))
    found["λ"] = timed(repeats, lambda i: engine.merge(ties(None, **{"lambda": 0.01 * i})))
    found["λ, bfloat16"] = timed(
        repeats, lambda i: engine.merge(ties(None, **{"lambda": 0.01 * i, "dtype": "bfloat16"}))
    )
    found["layer profile"] = timed(repeats, lambda i: engine.merge(ties(layer_scaling={**lines, "beta": 0.01 * i})))

    def weights(name: str, index: int) -> Recipe:
        return recipe(base, experts, name, weights=[1.0 + 0.01 * index, *[1.0] * (EXPERTS - 1)])

    found["weight, task arithmetic"] = timed(repeats, lambda i: engine.merge(weights("task_arithmetic", i + 1)))
    found["weight, linear"] = timed(repeats, lambda i: engine.merge(weights("linear", i + 1)))
    found["weight, TIES"] = timed(repeats, lambda i: engine.merge(weights("ties", i + 1)))
    masked = {"kind": "magnitude", "scope": "model"}
    found["density, task arithmetic"] = timed(
        repeats,
        lambda i: engine.merge(recipe(base, experts, "task_arithmetic", mask={**masked, "density": 0.1 + 0.01 * i})),
    )
    found["density, TIES"] = timed(repeats, lambda i: engine.merge(density(i + 30)))
    found["density per leaf, TIES"] = timed(
        repeats,
        lambda i: engine.merge(ties({"density": 0.1 + 0.01 * i, "scope": "leaf"})),
    )
    found["density, DARE"] = timed(
        repeats,
        lambda i: engine.merge(recipe(base, experts, "dare_linear", {"density": 0.1 + 0.01 * i})),
    )
    engine.layers(ties())
    found["layers, λ moved"] = timed(repeats, lambda i: engine.layers(ties(None, **{"lambda": 0.01 * i})))
    found["layers, weight moved"] = timed(repeats, lambda i: engine.layers(weights("ties", i + 1)))

    def layers_after_merge(index: int) -> None:
        engine.layers(density(index + 30))

    for index in range(repeats):
        engine.merge(density(index + 30))
    found["layers, density moved (merge cached)"] = timed(repeats, layers_after_merge)
    return found


MOVED = (
    ("breadcrumbs", "density", 0.01),
    ("della_linear", "density", 0.01),
    ("consensus", "agreement", 0.01),
    ("ram", "epsilon", 1e-5),
    ("ramplus_tl", "r", 0.01),
    ("sce", "select", 0.01),
    ("pcb", "density", 0.01),
    ("ema", "decay", 0.01),
    ("swalp", "bits", 1),
    ("nearswap", "t", 1e-4),
    ("arcee_fusion", "outlier", 0.1),
)
"""Methods, the number of each that is moved, and by how much each time."""


def measure_methods(engine: LiveEngine, base: str, experts: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Return what a step of one number costs for each of the methods in `MOVED`, after a first merge of each."""

    def move(index: int, info: MethodInfo, parameter: str, size: float) -> None:
        used = experts[: info.models[1] or len(experts)]
        start = 0.1 if isinstance(size, float) else 3
        engine.merge(recipe(base, used, info.name, {parameter: start + size * index}))

    def weigh(index: int, info: MethodInfo) -> None:
        engine.merge(recipe(base, experts, info.name, weights=[1.0 + 0.01 * index, *[1.0] * (EXPERTS - 1)]))

    steps: dict[str, Callable[[int], None]] = {}
    for name, parameter, size in MOVED:
        info = method(name)
        steps[f"{parameter}, {info.title}"] = partial(move, info=info, parameter=parameter, size=size)
    for info in (method("magmax"), method("emr")):
        steps[f"weight, {info.title}"] = partial(weigh, info=info)
    found: dict[str, dict[str, float]] = {}
    for title, step in steps.items():
        step(repeats)
        found[title] = timed(repeats, step)
    return found


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", action="store_true", help="measure one number of each further method instead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        base, experts = write_family(Path(folder), options.width, options.layers)
        engine = LiveEngine(Catalog(Zoo(Path(folder), (), {}, {}, {}), allow_files=True), options.device)
        measured = measure_methods if options.methods else measure
        found = measured(engine, base, experts, options.repeats)
    if options.json:
        print(json.dumps(found, ensure_ascii=False))
        return
    print(f"{'milliseconds':<40}{'median':>9}{'best':>9}{'worst':>9}{'CPU':>9}")
    for name, row in found.items():
        print(f"{name:<40}{row['median']:>9.2f}{row['best']:>9.2f}{row['worst']:>9.2f}{row['cpu']:>9.2f}")


if __name__ == "__main__":
    main()
