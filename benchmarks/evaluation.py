"""Time the evaluator: batches of a vision transformer like the zoo's (1.25 M parameters, 17 tokens).

    python -m benchmarks.evaluation [--cores 2] [--repeats 7] [--only reports] [--json]

Tables, in milliseconds: best and median wall-clock time of interleaved repeats (the best is what the machine can
do, the median what it did beside its other work), and the best processor time of all cores together:
- *products*: the dense layers of one batch of 48 by one thread, through MKL and as the evaluator does it;
- *forward*: 192 images by one thread in batches of several sizes: transformers with its parameters bound by
  torch.func.functional_call, transformers as it is, and our pure function;
- *threads*: the same 192 images with every operation split over all cores, and with whole batches side by side;
- *reports*: what the studio waits for: the preview of six tasks (6 × PREVIEW images; target 50), and a full split of
  six tasks (6 × 250; target 450);
- *memory*: the reports again, in processes that give freed memory back to the system and in ones that keep it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

from merging_core.evaluation.architectures import architecture, fitting
from merging_core.evaluation.batches import Batches
from merging_core.evaluation.dense import dense
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.intervals import PairCounts, average_interval, ratio
from merging_core.evaluation.subsets import PREVIEW
from merging_core.evaluation.tasks import Split, Task
from merging_core.process import keep_freed_memory

CONFIG: dict[str, Any] = {
    "model_type": "clip_vision_model", "hidden_size": 160, "intermediate_size": 320, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_channels": 1, "image_size": 32, "patch_size": 8, "hidden_act": "gelu",
}  # fmt: skip
SIZES = (24, 32, 48, 64, 96, 192)
Form = Callable[[], object]


def measured(forms: dict[str, Form], repeats: int) -> dict[str, dict[str, float]]:
    """Run each form in turn, `repeats` + 1 times (the first is warm-up); return milliseconds."""
    wall: dict[str, list[float]] = {name: [] for name in forms}
    cores: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(repeats + 1):
        for name, form in forms.items():
            start, busy = time.perf_counter(), time.process_time()
            form()
            if turn:
                wall[name].append((time.perf_counter() - start) * 1e3)
                cores[name].append((time.process_time() - busy) * 1e3)
    return {
        name: {"best": min(wall[name]), "median": statistics.median(wall[name]), "processor": min(cores[name])}
        for name in forms
    }


def make_task(index: int, n: int) -> Task:
    """Return a task of noise in ten classes."""
    generator = torch.Generator().manual_seed(index)
    images = torch.randint(0, 256, (n, 1, 32, 32), generator=generator, dtype=torch.uint8)
    prototypes = torch.nn.functional.normalize(torch.randn(10, 160, generator=generator), dim=1)
    splits = {"validation": Split(images, torch.arange(n) % 10, f"task {index}")}
    head = PrototypeHead(prototypes, 20.0)
    return Task(f"task-{index}", "", "", tuple("0123456789"), 32, 1, 0.5, 0.5, head, splits, "", "")


def product_forms() -> dict[str, Form]:
    """Return every dense layer of one batch of 48 of the zoo's transformer, by both products."""
    width, inner, layers = 144, 288, 6
    shapes = [(width, width)] * 4 + [(inner, width), (width, inner)]
    rows = [
        (torch.randn(48, 17, inside), torch.randn(outside, inside), torch.randn(outside)) for outside, inside in shapes
    ]

    def form(product: Callable[..., torch.Tensor]) -> Form:
        def run() -> None:
            with torch.inference_mode():
                for _ in range(layers):
                    for row in rows:
                        product(*row)

        return run

    return {"linear of torch": form(torch.nn.functional.linear), "dense": form(dense)}


def forward_forms(model: CLIPVisionModel, images: torch.Tensor) -> dict[str, Form]:
    """Return the ways of computing features, by name and batch size."""
    weights = {name: leaf.detach() for name, leaf in model.named_parameters()}
    found = architecture(CONFIG)
    bound = fitting(found, weights, torch.device("cpu"))
    ways: dict[str, Callable[[torch.Tensor], object]] = {
        "transformers": lambda batch: model(pixel_values=batch).pooler_output,
        "functional_call": lambda batch: torch.func.functional_call(model, weights, (batch,)).pooler_output,
        "pure function": lambda batch: found.forward(bound, batch),
    }

    def form(way: Callable[[torch.Tensor], object], size: int) -> Form:
        def run() -> None:
            with torch.inference_mode():
                for batch in images.split(size):
                    way(batch)

        return run

    return {f"{name}, batch {size}": form(way, size) for size in SIZES for name, way in ways.items()}


def thread_forms(model: CLIPVisionModel, images: torch.Tensor, cores: int) -> dict[str, Form]:
    """Return operations split over cores, and batches side by side."""
    found = architecture(CONFIG)
    bound = fitting(found, dict(model.named_parameters()), torch.device("cpu"))

    def forward(batch: torch.Tensor) -> torch.Tensor:
        return found.forward(bound, batch)

    def split(size: int) -> Form:
        def run() -> None:
            torch.set_num_threads(cores)
            with torch.inference_mode():
                for batch in images.split(size):
                    forward(batch)
            torch.set_num_threads(1)

        return run

    def beside(size: int) -> Form:
        batches = Batches(torch.device("cpu"), size, cores)
        return lambda: batches.run(forward, [images])

    forms: dict[str, Form] = {}
    for size in SIZES[1:5]:
        forms[f"operations split, batch {size}"] = split(size)
        forms[f"batches side by side, {size} each"] = beside(size)
    return forms


def report_forms(model: CLIPVisionModel, cores: int) -> dict[str, Form]:
    """Return what the studio asks for."""
    weights, tasks = dict(model.named_parameters()), [make_task(index, 250) for index in range(6)]
    evaluator = Evaluator(workers=cores)
    pairs = [PairCounts(150, 20, 30, 50)] * 6
    return {
        f"preview, 6 × {PREVIEW} images": lambda: evaluator.evaluate(CONFIG, weights, tasks, subset="preview"),
        "full split, 6 × 250 images": lambda: evaluator.evaluate(CONFIG, weights, tasks),
        "intervals of one report": lambda: (average_interval([170] * 6, [250] * 6), ratio(pairs)),
    }


def memory_table(repeats: int) -> dict[str, dict[str, float]]:
    """Measure the reports in processes of both kinds, in turn; of each figure the best and the median of all."""
    command = [sys.executable, "-m", "benchmarks.evaluation", "--only", "reports", "--json", "--repeats", str(repeats)]
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(3):
        for kind, more in (("given back", ["--give-back"]), ("kept", [])):
            answer = subprocess.run([*command, *more], check=True, capture_output=True, text=True)
            for name, row in json.loads(answer.stdout)["reports"].items():
                rows.setdefault(f"{name}, {kind}", []).append(row)
    return {
        name: {
            "best": min(row["best"] for row in found),
            "median": statistics.median(row["median"] for row in found),
            "processor": min(row["processor"] for row in found),
        }
        for name, found in rows.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the evaluator.")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--only", choices=("products", "forward", "threads", "reports", "memory"), help="measure one table"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--give-back", action="store_true", help="leave the C library as it is")
    given = parser.parse_args()
    if not given.give_back:
        keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = CLIPVisionModel(CLIPVisionConfig(**CONFIG)).eval()
    images = torch.randn(192, 1, 32, 32)
    tables = {
        "products": product_forms,
        "forward": lambda: forward_forms(model, images),
        "threads": lambda: thread_forms(model, images, given.cores),
        "reports": lambda: report_forms(model, given.cores),
    }
    wanted = [given.only] if given.only else [*tables, "memory"]
    found = {
        name: memory_table(given.repeats) if name == "memory" else measured(tables[name](), given.repeats)
        for name in wanted
    }
    if given.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return
    for title, rows in found.items():
        print(f"{title:<36} {'best':>9} {'median':>9} {'processor':>9}  ms")
        for name, row in rows.items():
            print(f"  {name:<34} {row['best']:>9.1f} {row['median']:>9.1f} {row['processor']:>9.1f}")


if __name__ == "__main__":
    main()
