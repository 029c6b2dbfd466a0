"""The benchmark's layout from end to end: a whole CLIP, vision towers under old names, shards, zero-shot heads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPVisionModel

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation import decks
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.picture_tasks import picture_task
from merging_core.evaluation.predictions import logits_of
from merging_core.evaluation.preprocessing import preprocessing, read_preprocessing
from merging_core.evaluation.sources.parquet import open_parquet
from merging_core.evaluation.tasks import Task
from merging_core.evaluation.zero_shot import zero_shot_head
from merging_core.recipes import parse_recipe
from tests.evaluation.models import made, saved, write_tokenizer
from tests.evaluation.test_picture_tasks import labels_of, write_shard
from tests.evaluation.test_zero_shot import PROMPTS, TEXT, VISION, opened

SIZE = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}


def write_benchmark(folder: Path) -> None:
    """Write base, two experts (their files name leaves `vision_model.…`) and a data set."""
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=9)
    base = made(CLIPModel, config)
    saved(base, folder / "clip")
    write_tokenizer(folder / "clip")
    CLIPImageProcessorPil(**SIZE).save_pretrained(folder / "clip")
    for seed, name in enumerate(("base", "one", "two")):
        tower = CLIPVisionModel(base.config.vision_config)
        noise = torch.Generator().manual_seed(seed)
        tower.load_state_dict(
            {
                key: leaf + (0.1 * torch.randn(leaf.shape, generator=noise) if seed else 0)
                for key, leaf in base.vision_model.state_dict().items()
            }
        )
        where = saved(tower, folder / name)
        leaves = load_file(where / "model.safetensors")
        save_file({f"vision_model.{key}": leaf for key, leaf in leaves.items()}, where / "model.safetensors")
    write_shard(folder / "data" / "train-0.parquet", labels_of(90))
    write_shard(folder / "data" / "test-0.parquet", labels_of(30), start=500)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    write_benchmark(folder)
    return folder


def task_of(folder: Path) -> Task:
    found = open_parquet(folder / "data")
    head = zero_shot_head(opened(folder / "clip"), found.classes, PROMPTS, cache=folder / "heads")
    return picture_task(found, read_preprocessing(folder / "clip"), head, name="animals")


@pytest.mark.parametrize("prepared", [True, False])
def test_a_merge_of_towers_answers_what_transformers_answers(
    prepared: bool, benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not prepared:
        monkeypatch.setattr(decks, "PREPARED_BYTES", 0)
    task = task_of(benchmark)
    engine = LiveEngine(Catalog(Zoo(benchmark, (), {}, {}, {}), allow_files=True), "cpu", 1 << 30)
    refs = {name: f"file:{benchmark / name}" for name in ("base", "one", "two")}
    recipe = parse_recipe(
        {"version": 1, "base": refs["base"], "models": [{"ref": refs["one"]}, {"ref": refs["two"]}],
         "method": {"name": "task_arithmetic"}, "lambda": 0.4}
    )  # fmt: skip
    merged = engine.merge(recipe)
    config = merged.plan.survey.reference.config
    score = Evaluator(workers=1).evaluate(config, merged.weights, [task], "test").tasks[0]

    files = {name: load_file(benchmark / name / "model.safetensors") for name in refs}
    by_hand = {
        key.removeprefix("vision_model."): leaf + 0.4 * (files["one"][key] - leaf) + 0.4 * (files["two"][key] - leaf)
        for key, leaf in files["base"].items()
    }
    model = CLIPModel.from_pretrained(benchmark / "clip").eval()
    model.vision_model.load_state_dict(by_hand)
    split = task.splits["test"]
    processor = CLIPImageProcessorPil(**SIZE)
    pixels = processor([numpy.asarray(image.permute(1, 2, 0)) for image in split.images], return_tensors="pt")
    with torch.inference_mode():
        features = model.visual_projection(model.vision_model(**pixels).pooler_output)
        logits = task.head.scale * torch.nn.functional.normalize(features, dim=1) @ task.head.prototypes.T  # type: ignore[union-attr]
    order = torch.tensor(split.order)
    nats = torch.nn.functional.cross_entropy(logits, task.labels("test"), reduction="none")[order]
    torch.testing.assert_close(torch.tensor(score.losses), nats, rtol=1e-3, atol=1e-4)
    few = logits_of(config, merged.weights, task, split.images[:5])
    torch.testing.assert_close(few, logits[:5], rtol=1e-3, atol=1e-4)


def test_the_page_about_tasks_says_how_one_is_made(
    benchmark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    shutil.copytree(benchmark / "clip", tmp_path / "clip-vit-base-patch32")
    shutil.copytree(benchmark / "data", tmp_path / "eurosat")
    monkeypatch.chdir(tmp_path)
    exec(page.split("```python\n")[1].split("```")[0], {})  # noqa: S102
    said = capsys.readouterr().out
    assert said == (
        "Test as the source divides them; train, calibration and validation made from its train split by seed 0, "
        "class by class.\n"
    )


def test_the_preprocessing_of_newer_checkpoints_is_found(benchmark: Path, tmp_path: Path) -> None:
    text = (benchmark / "clip" / "preprocessor_config.json").read_text()
    (tmp_path / "processor_config.json").write_text(
        f'{{"image_processor": {text}, "processor_class": "CLIPProcessor"}}'
    )
    assert read_preprocessing(tmp_path) == read_preprocessing(benchmark / "clip")
    assert read_preprocessing(tmp_path) == preprocessing({"image_processor_type": "CLIPImageProcessor", **SIZE})
