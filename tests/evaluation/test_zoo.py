"""The embedded zoo: its tasks pass the strict check, and our numbers are those of plain transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionModel

from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.paths import barrier, trace
from merging_core.evaluation.tasks import SPLITS

ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo"
FOLDERS = sorted(path.parent for path in ZOO.glob("tasks/*/*/task.json"))
TINY = sorted(path.parent for path in ZOO.glob("tiny/*/config.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_task_of_the_zoo_is_sound(folder: Path) -> None:
    task = load_task(folder)
    assert task.name == f"{folder.parent.name}/{folder.name}" and set(task.splits) == set(SPLITS)
    assert min(len(task.splits[split]) for split in ("validation", "test")) >= 200
    images = [task.splits[split].images.flatten(1) for split in SPLITS]
    assert len({bytes(row.numpy()) for row in torch.cat(images)}) >= sum(map(len, images)) * 0.9


@pytest.mark.parametrize("checkpoint", TINY, ids=lambda folder: folder.name)
def test_accuracies_and_losses_are_those_of_plain_transformers(checkpoint: Path) -> None:
    name = "digits" if checkpoint.name == "base" else checkpoint.name
    task = load_task(ZOO / "tasks" / "tiny" / name)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    score = Evaluator(workers=1).evaluate(config, load_file(checkpoint / "model.safetensors"), [task]).tasks[0]
    split, head = task.splits["validation"], task.head
    assert isinstance(head, PrototypeHead) and split.labels is not None
    model = CLIPVisionModel.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        features = model(pixel_values=(split.images.float() / 255 - task.mean) / task.std).pooler_output
        logits = head.scale * (features / features.norm(dim=1, keepdim=True)) @ head.prototypes.T
    right = (logits.argmax(1) == split.labels).numpy()
    assert score.correct.tolist() == right[score.examples].tolist()
    losses = torch.nn.functional.cross_entropy(logits, split.labels, reduction="none")
    assert score.loss == pytest.approx(float(losses.double().mean()), abs=1e-5)
    torch.testing.assert_close(torch.from_numpy(score.losses.copy()), losses[score.examples], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["basins-conv", "basins-transformer"])
def test_nets_of_strangers_are_evaluated_as_the_manifest_says(family: str) -> None:
    task = load_task(ZOO / "tasks" / "basins" / "digits")
    manifest = json.loads((ZOO / "manifest.json").read_text(encoding="utf-8"))
    folder = ZOO / family / "stranger-1"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    score = Evaluator(workers=1).evaluate(config, load_file(folder / "model.safetensors"), [task], subset="full")
    noted = manifest["accuracies"][f"zoo:{family}/stranger-1"]["basins/digits"]["validation"]
    assert abs(score.tasks[0].accuracy - noted["accuracy"]) <= 2 / noted["n"] and score.tasks[0].n == noted["n"]


def test_strangers_have_a_barrier_and_siblings_have_almost_none() -> None:
    task = load_task(ZOO / "tasks" / "basins" / "digits")
    config = json.loads((ZOO / "basins" / "left" / "config.json").read_text(encoding="utf-8"))

    def height(first: str, last: str) -> float:
        a, b = (load_file(ZOO / "basins" / name / "model.safetensors") for name in (first, last))
        *_, path = trace(
            Evaluator(workers=1), config, lambda t: {leaf: torch.lerp(a[leaf], b[leaf], t) for leaf in a}, [task],
            subset="full", splits=("train",), points=9,
        )  # fmt: skip
        return barrier(path, "train").height

    assert height("stranger-1", "stranger-2") > 0.5 > 10 * height("left", "right")
