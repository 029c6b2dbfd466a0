"""An exported folder: transformers alone loads it, and finds the accuracies that the card says."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import CLIPVisionModel

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine, Plan, make_plan, stream_merge
from merging_core.errors import CancelledError, PlanError
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.loading import load_task
from merging_core.evaluation.percent import percent
from merging_core.export import Picture, Results, export_checkpoint
from merging_core.recipes import Recipe, parse_recipe

ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo"
TASKS = ("digits", "letters")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(load_zoo(ZOO))


def recipe(**changes: Any) -> Recipe:
    models = [{"ref": f"zoo:tiny/{name}"} for name in (*TASKS, "shapes")]
    method = {"name": "ties", "params": {"density": 0.3}}
    scaling = {"kind": "lines", "alpha": 0.6, "beta": 0.6}
    given = {"version": 1, "base": "zoo:tiny/base", "models": models, "method": method, "layer_scaling": scaling}
    return parse_recipe({**given, "lambda": 0.9, **changes})


def transformers_accuracy(model: CLIPVisionModel, name: str) -> float:
    """Score with transformers, the head's file and the pictures, and nothing of Basin's evaluation but the split."""
    folder = ZOO / "tasks" / "tiny" / name
    head = load_file(folder / "head.safetensors")["prototypes"]
    task = load_task(folder)
    split = task.splits["validation"]
    assert split.labels is not None
    with torch.inference_mode():
        pixels = (split.images.float() / 255 - task.mean) / task.std
        features = model.float()(pixel_values=pixels).pooler_output
        answers = (features / features.norm(dim=1, keepdim=True) @ head.T).argmax(1)
    return float((answers == split.labels).double().mean())


def table_of(card: str, heading: str) -> dict[str, list[str]]:
    section = card.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize(("dtype", "shard_bytes"), [("float32", None), ("float32", 700_000), ("bfloat16", 900_000)])
def test_transformers_alone_finds_the_accuracies_of_the_card(
    dtype: str, shard_bytes: int | None, catalog: Catalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = recipe(dtype=dtype)
    plan = make_plan(asked, catalog)
    live = LiveEngine(catalog, "cpu").merge(asked)
    tasks = [load_task(ZOO / "tasks" / "tiny" / name) for name in TASKS]
    report = Evaluator(workers=1).evaluate(plan.survey.reference.config, live.weights, tasks)
    results = Results.of(report.as_json())
    out = export_checkpoint(plan, catalog, tmp_path / "out", shard_bytes=shard_bytes, results=[results])

    assert (len(list(out.glob("*.safetensors"))) > 2) == (shard_bytes is not None)
    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, loading = CLIPVisionModel.from_pretrained(out, output_loading_info=True, local_files_only=True)
    assert caplog.records == [] and not any(loading[key] for key in loading)
    assert model.dtype is getattr(torch, dtype)
    table = table_of((out / "README.md").read_text(encoding="utf-8"), "Results on the validation split")
    for name, score in zip(TASKS, report.tasks, strict=True):
        found = transformers_accuracy(model.eval(), name)
        assert found == score.accuracy
        assert table[score.title] == [
            percent(found),
            f"{percent(score.interval[0])} – {percent(score.interval[1])}",
            str(score.n),
        ]
    assert table["**average**"][0] == percent(report.average)


def test_the_front_matter_is_what_the_hub_reads(catalog: Catalog, tmp_path: Path) -> None:
    out = export_checkpoint(make_plan(recipe(), catalog), catalog, tmp_path / "out")
    card = (out / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert front == {
        "license": "other",
        "license_name": "several-see-lineage",
        "library_name": "transformers",
        "tags": ["merge", "model-merging", "basin", "ties"],
    }


def test_the_lineage_names_every_part_by_content(catalog: Catalog, tmp_path: Path) -> None:
    plan = make_plan(recipe(), catalog)
    card = (export_checkpoint(plan, catalog, tmp_path / "out") / "README.md").read_text(encoding="utf-8")
    for checkpoint in plan.survey.checkpoints:
        assert f"`{checkpoint.compute_content()}`" in card
    assert plan.hash in card


def test_a_card_without_results_promises_none(catalog: Catalog, tmp_path: Path) -> None:
    card = (export_checkpoint(make_plan(recipe(), catalog), catalog, tmp_path / "out") / "README.md").read_text()
    assert "## Results" not in card and "## Charts" not in card


def test_charts_lie_beside_the_card_that_shows_them(catalog: Catalog, tmp_path: Path) -> None:
    pictures = [
        Picture("accuracy.png", "Accuracy per task", b"\x89PNG\r\n"),
        Picture("path.png", "Path", b"\x89PNG", "t\r\n0.5\r\n"),
    ]
    out = export_checkpoint(make_plan(recipe(), catalog), catalog, tmp_path / "out", pictures=pictures)
    assert (out / "path.csv").read_bytes() == b"t\r\n0.5\r\n" and not (out / "accuracy.csv").exists()
    assert "[The numbers as CSV](path.csv)" in (out / "README.md").read_text()
    assert "![Accuracy per task](accuracy.png)" in (out / "README.md").read_text()
    assert (out / "accuracy.png").read_bytes() == b"\x89PNG\r\n"


def test_what_stands_in_the_way_of_writing_is_said_before_a_byte_is_read(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("data were read")

    plan = make_plan(recipe(), catalog)
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr("merging_core.checkpoints.reader.Reading._fill", read)
    monkeypatch.setattr("merging_core.export.folder.model_card", read)
    with pytest.raises(PlanError, match="the output folder is new or empty"):
        export_checkpoint(plan, catalog, tmp_path)
    with pytest.raises(PlanError, match="at least 1000 bytes"):
        export_checkpoint(plan, catalog, tmp_path / "out", shard_bytes=1)
    monkeypatch.setattr(Plan, "hash", property(read))
    with pytest.raises(PlanError, match="the output folder is new or empty"):
        stream_merge(plan, catalog, tmp_path)


def test_a_cancelled_export_leaves_nothing(catalog: Catalog, tmp_path: Path) -> None:
    shares: list[float] = []
    with pytest.raises(CancelledError):
        export_checkpoint(
            make_plan(recipe(), catalog),
            catalog,
            tmp_path / "out",
            shard_bytes=700_000,
            progress=lambda standing: shares.append(standing.share),
            cancelled=lambda: bool(shares) and shares[-1] > 0.5,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_transformers_does_not_know_is_loaded_with_safetensors(catalog: Catalog, tmp_path: Path) -> None:
    given = {"version": 1, "models": [{"ref": "zoo:basins/left"}, {"ref": "zoo:basins/right"}]}
    plan = make_plan(parse_recipe({**given, "method": {"name": "linear"}}), catalog)
    out = export_checkpoint(plan, catalog, tmp_path / "out", shard_bytes=20_000)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "library_name: safetensors" in card and "from_pretrained" not in card
    code = card.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace('"model-*', f'"{out}/model-*'), names)
    merged = LiveEngine(catalog, "cpu").merge(plan.recipe).weights
    assert set(names["weights"]) == set(merged)
    assert all(torch.equal(names["weights"][leaf], tensor) for leaf, tensor in merged.items())
    assert json.loads((out / "config.json").read_text())["model_type"] == "basin_mlp"
