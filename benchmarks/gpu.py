"""Measure the engines on the best device there is, beside what that device can do at most.

    python -m benchmarks.gpu [--device auto] [--repeats 15] [--small] [--folder FOLDER] [--json]

*Live*: the base of a CLIP ViT-B/32 image tower and eight task vectors, resident in float32; task arithmetic and TIES
are merged again with a changed λ and with a changed weight, for recipes in float32 and in bfloat16. A figure is held
against one read of the stack of task vectors at the copy bandwidth that the device showed just before (target 1.5).
*Evaluation*: 8 × 200 images through such a tower with random weights, against the rate of large bfloat16 products.
*Streaming*: linear and TIES merges of synthetic checkpoints from disk to disk, on the device and on the CPU's cores,
against a copy of the same bytes, in turn.

Medians. `--small` is the same with tiny models, to try the command: its figures mean nothing. On a machine without CUDA
everything runs on the CPU, and the first line says so.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from benchmarks.live_merge import recipe, shapes
from benchmarks.synthetic import family
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.header import LeafSpec
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.engines.devices import lane_for
from merging_core.engines.live import choose_device
from merging_core.engines.plan import Plan
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.tasks import Split, Task
from merging_core.process import keep_freed_memory
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe

EXPERTS = 8


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    width: int = 768
    layers: int = 12
    patch: int = 32
    side: int = 224
    images: int = 200
    product: int = 8192
    copied: int = 1 << 30
    streamed: str = "250m"
    repeats: int = 15

    @property
    def tokens(self) -> int:
        """Patches of an image, and the class token."""
        return (self.side // self.patch) ** 2 + 1

    @property
    def operations(self) -> float:
        """Floating-point operations of the products of one image."""
        width, tokens = self.width, self.tokens
        block = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width
        return 2 * (tokens - 1) * 3 * self.patch**2 * width + self.layers * block

    def config(self) -> dict[str, Any]:
        """Return the configuration of the tower."""
        return {
            "model_type": "clip_vision_model", "hidden_size": self.width, "intermediate_size": 4 * self.width,
            "num_hidden_layers": self.layers, "num_attention_heads": max(1, self.width // 64), "num_channels": 3,
            "image_size": self.side, "patch_size": self.patch, "hidden_act": "quick_gelu",
        }  # fmt: skip


SMALL = Scale(64, 2, 8, 32, 8, 256, 1 << 22, "small", 3)


@dataclass(frozen=True)
class Row:
    """One figure: seconds, and those of what it is held against."""

    what: str
    seconds: float
    against: str
    reference: float

    @property
    def ratio(self) -> float:
        """How many times the reference."""
        return self.seconds / self.reference

    def __str__(self) -> str:
        return (
            f"{self.what:<52}{self.seconds * 1e3:>11.2f}  ×{self.ratio:<8.3g} {self.against}, "
            f"{self.reference * 1e3:.2f} ms"
        )


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    if device.type == "mps":
        torch.mps.synchronize()


def median(
    device: torch.device, repeats: int, step: Callable[[Any], object], warm: int = 2, given: Callable[[], Any] = int
) -> float:
    """Run a step on what is given each time, and return the median of its seconds, without the first ones."""
    found = []
    for _ in range(repeats + warm):
        on = given()
        wait(device)
        start = time.perf_counter()
        step(on)
        wait(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[warm:])


def copy_bandwidth(device: torch.device, scale: Scale) -> float:
    """Return the bytes that a copy within the device's memory reads and writes in a second."""
    source = torch.ones(scale.copied // 4, device=device)
    target = torch.empty_like(source)
    return 2 * scale.copied / median(device, scale.repeats, lambda _: target.copy_(source))


def product_rate(device: torch.device, scale: Scale) -> float:
    """Return the operations of a large product in bfloat16 in a second."""
    one = torch.randn(scale.product, scale.product, device=device).to(torch.bfloat16)
    out = torch.empty_like(one)
    return 2 * scale.product**3 / median(device, scale.repeats, lambda _: torch.mm(one, one, out=out))


def towers(folder: Path, scale: Scale) -> tuple[str, list[str]]:
    """Write a base and its experts in bfloat16, and return their references."""
    leaves = shapes(scale.width, scale.layers, scale.patch, scale.tokens)
    specs = [LeafSpec(name, "BF16", shape) for name, shape in leaves.items()]

    def weights(number: int) -> Iterator[tuple[str, torch.Tensor]]:
        for place, spec in enumerate(specs):
            value = torch.randn(spec.shape, generator=torch.Generator().manual_seed(place)) * 0.02
            if number:
                generator = torch.Generator().manual_seed(place + 1000 * number)
                value += torch.randn(spec.shape, generator=generator) * 0.002
            yield spec.name, value.to(torch.bfloat16)

    refs = []
    for number in range(EXPERTS + 1):
        write_checkpoint(folder / f"tower-{number}", weights(number), specs, scale.config())
        refs.append(f"file:{folder / f'tower-{number}'}")
    return refs[0], refs[1:]


def live_rows(device: torch.device, scale: Scale, folder: Path, bandwidth: float) -> Iterator[Row]:
    """Merge again and again; each figure against one read of the stack of task vectors."""
    base, experts = towers(folder, scale)
    leaves = shapes(scale.width, scale.layers, scale.patch, scale.tokens)
    size = sum(torch.Size(shape).numel() for shape in leaves.values())
    stack = 4 * size * EXPERTS
    catalog = Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True)
    engine = LiveEngine(catalog, str(device), memory_budget=max(1 << 30, 8 * stack))
    steps = count(1)

    def moved(name: str, dtype: str) -> Recipe:
        return recipe(base, experts, name, dtype=dtype, **{"lambda": 0.3 + 0.001 * next(steps)})

    def weighed(name: str, dtype: str) -> Recipe:
        weights = [1.0 + 0.001 * next(steps), *[1.0] * (EXPERTS - 1)]
        return recipe(base, experts, name, dtype=dtype, weights=weights)

    for dtype in ("float32", "bfloat16"):
        for name in ("task_arithmetic", "ties"):
            for what, given in (("λ", moved), ("a weight", weighed)):
                took = median(device, scale.repeats, engine.merge, given=partial(given, name, dtype))
                yield Row(f"live, {name}, {dtype}, {what} moved", took, "a read of the stack", stack / bandwidth)


def evaluation_row(device: torch.device, scale: Scale, rate: float) -> Row:
    """Evaluate eight tasks of noise with random weights; held against their products at the rate of bfloat16."""
    generator = torch.Generator().manual_seed(0)
    tasks = [noise(index, scale) for index in range(EXPERTS)]
    leaves = shapes(scale.width, scale.layers, scale.patch, scale.tokens)
    weights = {name: (torch.randn(shape, generator=generator) * 0.02).to(device) for name, shape in leaves.items()}
    evaluator = Evaluator(device)
    took = median(
        device, max(3, scale.repeats // 3), lambda _: evaluator.evaluate(scale.config(), weights, tasks), warm=1
    )
    least = EXPERTS * scale.images * scale.operations / rate
    return Row(f"evaluation, {EXPERTS} × {scale.images} images", took, "its products in bfloat16", least)


def noise(index: int, scale: Scale) -> Task:
    """Return a task of noise in ten classes."""
    generator = torch.Generator().manual_seed(index)
    shape = (scale.images, 3, scale.side, scale.side)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    prototypes = torch.nn.functional.normalize(torch.randn(10, scale.width, generator=generator), dim=1)
    splits = {"validation": Split(images, torch.arange(scale.images) % 10, f"task {index}")}
    head = PrototypeHead(prototypes, 20.0)
    return Task(f"task-{index}", "", "", tuple("0123456789"), scale.side, 3, 0.5, 0.5, head, splits, "", "")


def streaming_rows(device: torch.device, scale: Scale, folder: Path) -> Iterator[Row]:
    """Merge from disk to disk on the device and on the cores, and copy the same bytes, in turn."""
    base, experts = family(folder, scale.streamed)
    catalog = Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True)
    models = [{"ref": f"file:{path}"} for path in experts]
    for name in ("linear", "ties"):
        with_base = {} if name == "linear" else {"base": f"file:{base}"}
        asked = {"version": 1, **with_base, "models": models, "method": {"name": name}, "dtype": "bfloat16"}
        plan = make_plan(parse_recipe(asked), catalog)
        assert len(plan.hash) == 64  # every input is read once and its digest known before anything is timed
        found: dict[str, list[float]] = {}
        sides = streaming_sides(plan, catalog, device, folder / "out")
        for _ in range(max(1, scale.repeats // 5)):
            for side, step in sides.items():
                start = time.perf_counter()
                step()
                found.setdefault(side, []).append(time.perf_counter() - start)
                shutil.rmtree(folder / "out")
        against = statistics.median(found.pop("copy"))
        for side, took in found.items():
            yield Row(f"streaming, {name}, {scale.streamed}, {side}", statistics.median(took), "a copy", against)


def streaming_sides(plan: Plan, catalog: Catalog, device: torch.device, out: Path) -> dict[str, Callable[[], object]]:
    """Return what is run in turn: a copy, the merge on the device, and the merge on the cores."""

    def merged(kind: str) -> Path:
        return stream_merge(plan, catalog, out, lane=lane_for(plan, kind))

    inputs = [checkpoint.folder for checkpoint in plan.survey.checkpoints]
    return {
        "copy": partial(copied, inputs, out),
        **{kind: partial(merged, kind) for kind in dict.fromkeys((device.type, "cpu"))},
    }


def copied(inputs: list[Path], out: Path) -> None:
    """Read all inputs and write as many bytes as one of them has, down to the disk."""
    out.mkdir()
    with (out / "copy").open("wb") as target:
        for number, folder in enumerate(inputs):
            with (folder / "model.safetensors").open("rb") as source:
                while block := source.read(4 << 20):
                    if not number:
                        target.write(block)
        target.flush()
        os.fsync(target.fileno())


def described(device: torch.device) -> str:
    """Say on what everything ran."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    if device.type != "cuda":
        return f"{device.type}: no CUDA device is at hand; torch {torch.__version__}, {today}"
    found = torch.cuda.get_device_properties(device)
    driver = Path("/proc/driver/nvidia/version")
    version = driver.read_text(encoding="utf-8").splitlines()[0] if driver.is_file() else "driver unknown"
    memory = f"{found.total_memory / 1e9:.0f} GB"
    return f"{found.name}, {memory}; CUDA {torch.version.cuda}; {version}; torch {torch.__version__}; {today}"


def main(arguments: list[str]) -> None:
    """Print what the device can do, and a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--small", action="store_true", help="tiny models: try the command, in seconds")
    parser.add_argument("--folder", type=Path, help="where files are made; by default one that is removed again")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    scale = SMALL if asked.small else Scale()
    if asked.repeats:
        scale = replace(scale, repeats=asked.repeats)
    device = choose_device(asked.device)
    keep_freed_memory()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        bandwidth, rate = copy_bandwidth(device, scale), product_rate(device, scale)
        if not asked.json:
            sys.stdout.write(f"{described(device)}\ncopies {bandwidth / 1e9:.1f} GB/s (read and written)\n")
            sys.stdout.write(f"bfloat16 products {rate / 1e12:.3g} T operations/s\n{'':<52}{'median ms':>11}\n")
        rows = []
        for row in all_rows(device, scale, folder, bandwidth, rate):
            rows.append(row)
            if not asked.json:
                sys.stdout.write(f"{row}\n")
                sys.stdout.flush()
    if asked.json:
        figures = [{**asdict(row), "ratio": row.ratio} for row in rows]
        found = {"on": described(device), "bandwidth": bandwidth, "bfloat16": rate, "small": asked.small}
        sys.stdout.write(json.dumps({**found, "rows": figures}, ensure_ascii=False) + "\n")


def all_rows(device: torch.device, scale: Scale, folder: Path, bandwidth: float, rate: float) -> Iterator[Row]:
    """Measure everything, one figure after the other."""
    yield from live_rows(device, scale, folder, bandwidth)
    yield evaluation_row(device, scale, rate)
    yield from streaming_rows(device, scale, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
