"""Time every merge method in the live engine on the zoo's six experts, or as many as it takes.

    python -m benchmarks.methods [--only iso_c tsv_m] [--repeats 5] [--json]

Milliseconds, without evaluation: *first*, with the experts resident and nothing else known; *weight*, the median after
a change of one weight (where the method has weights); *λ*, the median after a change of λ. A preview has 120 ms in all,
of which about 50 are evaluation. Last, what a plan says of streaming the same merge, in seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import methods
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe

EXPERTS = ("digits", "letters", "shapes", "counting", "styles", "greek")
PREVIEW = 70.0


def recipe(info: MethodInfo, weight: float = 1.0, scale: float = 0.5) -> Recipe:
    """Return the method over the zoo's experts, the first of them with this weight."""
    count = min(len(EXPERTS), info.models[1] or len(EXPERTS))
    models = [{"ref": f"zoo:tiny/{name}", "weight": 1.0} for name in EXPERTS[:count]]
    models[0]["weight"] = weight
    given = {"version": 1, "base": "zoo:tiny/base", "models": models, "method": {"name": info.name}, "lambda": scale}
    return parse_recipe(given)


def milliseconds(engine: LiveEngine, asked: Recipe) -> float:
    """Return how long one merge takes."""
    start = time.perf_counter()
    engine.merge(asked)
    return (time.perf_counter() - start) * 1e3


def measured(info: MethodInfo, repeats: int) -> dict[str, float | None]:
    """Time one method in an engine of its own."""
    engine = LiveEngine(Catalog(load_zoo()), "cpu")
    for name in ("base", *EXPERTS):
        engine.checkpoint(f"zoo:tiny/{name}")
    warm = "task_arithmetic" if info.name != "task_arithmetic" else "ties"
    engine.merge(recipe(next(one for one in methods() if one.name == warm)))
    first = milliseconds(engine, recipe(info))
    weights = [
        milliseconds(engine, recipe(info, 1.0 + step / 10)) for step in range(1, repeats + 1) if info.weights != "none"
    ]
    scales = [milliseconds(engine, recipe(info, scale=0.5 + step / 50)) for step in range(1, repeats + 1)]
    return {
        "first": first,
        "weight": statistics.median(weights) if weights else None,
        "lambda": statistics.median(scales),
        "streaming_seconds": engine.plan(recipe(info)).estimated_seconds,
    }


def main(arguments: list[str]) -> None:
    """Print one line for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    chosen = [info for info in methods() if not asked.only or info.name in asked.only]
    rows = {info.name: measured(info, asked.repeats) for info in chosen}
    if asked.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    sys.stdout.write(f"{'method':<18}{'first':>8}{'weight':>8}{'λ':>8}{'plan s':>8}\n")
    for name, row in rows.items():
        cells = "".join(f"{'—' if row[key] is None else f'{row[key]:.0f}':>8}" for key in ("first", "weight", "lambda"))
        late = "  later than a preview" if (row["weight"] or 0.0) > PREVIEW else ""
        sys.stdout.write(f"{name:<18}{cells}{row['streaming_seconds']:>8.1f}{late}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
