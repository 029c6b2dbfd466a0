"""The streaming engine's folder: whole or absent, readable by transformers, and equal to what the studio showed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.engines.progress import Standing
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import CancelledError, CheckpointError, NonFiniteError, PlanError
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import Family, assert_same_bits, family, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def made(tmp_path: Path) -> Family:
    return family(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_transformers_loads_a_merged_vision_model_without_a_warning(
    dtype: str, tmp_path: Path, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    config = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    refs = []
    for index in range(3):
        torch.manual_seed(index)
        model = CLIPVisionModel(config)
        written = json.loads(config.to_json_string())
        described = {**written, "architectures": ["CLIPVisionModel"], "torch_dtype": "float32"}
        refs.append(write(tmp_path / f"m{index}", model.state_dict(), described))
    models = [{"ref": ref} for ref in refs[1:]]
    given = {"version": 1, "base": refs[0], "models": models, "method": {"name": "ties"}, "dtype": dtype}
    recipe = parse_recipe(given)
    out = stream_merge(make_plan(recipe, catalog), catalog, tmp_path / "merged")

    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded, report = CLIPVisionModel.from_pretrained(out, output_loading_info=True, local_files_only=True)
    assert not any(report[key] for key in report)
    assert caplog.records == []
    assert loaded.dtype is getattr(torch, dtype)
    assert json.loads((out / "config.json").read_text())["dtype"] == dtype
    assert "torch_dtype" not in json.loads((out / "config.json").read_text())
    live = LiveEngine(catalog, "cpu").merge(recipe).weights
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor.float(), live[name]), name


def test_the_folder_holds_the_merge_and_the_recipe_that_makes_it_again(
    made: Family, tmp_path: Path, catalog: Catalog
) -> None:
    recipe = made.recipe("dare_ties", {"density": 0.4}, seed=5, dtype="bfloat16")
    plan = make_plan(recipe, catalog)
    out = stream_merge(plan, catalog, tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors", "recipe.json"]
    again = parse_recipe(json.loads((out / "recipe.json").read_text()))
    assert make_plan(again, catalog).hash == plan.hash
    merged = LiveEngine(catalog, "cpu").merge(again).weights
    written = load_file(out / "model.safetensors")
    assert_same_bits(merged, {name: written[name] for name in merged})
    assert written["embeddings.position_ids"].dtype is torch.int64


def test_the_same_plan_writes_the_same_bytes(made: Family, tmp_path: Path, catalog: Catalog) -> None:
    recipe = made.recipe("ties")
    first = stream_merge(make_plan(recipe, catalog), catalog, tmp_path / "1", chunk_elements=5)
    second = stream_merge(make_plan(recipe, catalog), catalog, tmp_path / "2")
    for name in ("model.safetensors", "config.json", "recipe.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("after", [0, 1, 20])
def test_a_cancelled_merge_leaves_nothing(after: int, made: Family, tmp_path: Path, catalog: Catalog) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    folder = tmp_path / "outputs"
    folder.mkdir()
    with pytest.raises(CancelledError):
        stream_merge(make_plan(made.recipe("ties"), catalog), catalog, folder / "out", cancelled=cancelled)
    assert list(folder.iterdir()) == []


def test_a_merge_that_overflows_leaves_nothing(made: Family, tmp_path: Path, catalog: Catalog) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    recipe = made.recipe("task_arithmetic", weights=[1e6, 1e6, 1e6], dtype="float16", **{"lambda": 100.0})
    with pytest.raises(PlanError, match="every merged number fits float16"):
        stream_merge(make_plan(recipe, catalog), catalog, folder / "out")
    assert list(folder.iterdir()) == []


def test_a_float64_value_too_large_for_float32_is_the_models_fault_in_both_engines(
    made: Family, tmp_path: Path, catalog: Catalog
) -> None:
    large = made.expert_tensors[1] | {"post_layernorm.weight": torch.tensor([1e300], dtype=torch.float64)}
    write(tmp_path / "expert1", large)
    recipe = made.recipe("task_arithmetic")
    said = "file:expert1: post_layernorm.weight in float32: every element is finite"
    with pytest.raises(NonFiniteError, match=said):
        stream_merge(make_plan(recipe, catalog), catalog, tmp_path / "out")
    with pytest.raises(NonFiniteError, match=said):
        LiveEngine(catalog, "cpu").merge(recipe)


def test_an_input_that_changed_since_the_plan_is_named(made: Family, tmp_path: Path, catalog: Catalog) -> None:
    plan = make_plan(made.recipe("ties"), catalog)
    write(tmp_path / "expert1", {**made.expert_tensors[1], "logit_scale": torch.tensor(2.0)})
    with pytest.raises(CheckpointError, match="expert1: the files are those of the plan"):
        stream_merge(plan, catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_taken_folder_is_refused_before_anything_is_read(made: Family, tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    told: list[str] = []
    with pytest.raises(PlanError, match="the output folder is new or empty"):
        plan = make_plan(made.recipe("ties"), catalog)
        stream_merge(plan, catalog, tmp_path / "out", progress=lambda standing: told.append(standing.what))
    assert told == [] and (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_progress_rises_to_one(made: Family, tmp_path: Path, catalog: Catalog) -> None:
    told: list[Standing] = []
    plan = make_plan(made.recipe("ties"), catalog)
    stream_merge(plan, catalog, tmp_path / "out", progress=told.append)
    assert [one.stage for one in told] == sorted(one.stage for one in told)
    merging = [one for one in told if one.stage == "merge"]
    for share in (lambda one: one.share, lambda one: one.written / one.output):
        shares = [share(one) for one in merging]
        assert shares == sorted(shares) and shares[-1] == 1.0


def test_parts_of_a_composite_configuration_state_the_new_dtype(made: Family, tmp_path: Path, catalog: Catalog) -> None:
    config: dict[str, Any] = {"model_type": "clip", "vision_config": {"torch_dtype": "float32", "num_hidden_layers": 3}}
    base = write(tmp_path / "composite", made.base_tensors, config)
    given = {"version": 1, "base": base, "models": [{"ref": made.experts[0]}], "method": {"name": "task_arithmetic"}}
    write(tmp_path / "expert0", made.expert_tensors[0], config)
    out = stream_merge(make_plan(parse_recipe({**given, "dtype": "bfloat16"}), catalog), catalog, tmp_path / "out")
    written = json.loads((out / "config.json").read_text())
    assert written["dtype"] == "bfloat16"
    assert written["vision_config"] == {"num_hidden_layers": 3, "dtype": "bfloat16"}


CHILD = """
import json, sys, time
from merging_core.checkpoints import Catalog, draft
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import make_plan, stream_merge
from merging_core.recipes.parse import parse_recipe
draft._NOTED_EVERY = 1
def told(standing):
    share = standing.written / standing.output
    print(share, flush=True)
    if share >= float(sys.argv[3]):
        time.sleep(600)
catalog = Catalog(load_zoo())
plan = make_plan(parse_recipe(json.loads(sys.argv[1])), catalog)
stream_merge(plan, catalog, sys.argv[2], progress=told, chunk_elements=3000, shard_bytes=1_000_000)
"""


def test_a_merge_that_was_killed_goes_on_and_gives_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    share = 0.3
    models = [{"ref": f"zoo:tiny/{name}"} for name in ("digits", "letters", "greek")]
    recipe = {"version": 1, "base": "zoo:tiny/base", "models": models, "method": {"name": "ties"}, "dtype": "bfloat16"}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(recipe), str(tmp_path / "killed"), str(share)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert any(float(line) >= share for line in process.stdout)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "killed").exists()

    catalog, said = Catalog(load_zoo()), list[tuple[float, str]]()
    plan = make_plan(parse_recipe(recipe), catalog)
    for name in ("killed", "other"):
        stream_merge(
            plan,
            catalog,
            tmp_path / name,
            shard_bytes=1_000_000,
            progress=lambda standing: said.append((standing.written / standing.output, standing.what)),
        )
    went_on = [done for done, what in said if what == "going on where it was stopped"]
    assert len(went_on) == 1 and share - 0.05 < went_on[0] < 1.0
    files = sorted(path.name for path in (tmp_path / "other").iterdir())
    assert len(files) > 4 and sorted(path.name for path in (tmp_path / "killed").iterdir()) == files
    assert all((tmp_path / "killed" / file).read_bytes() == (tmp_path / "other" / file).read_bytes() for file in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "other"]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("method", ["dare_ties", "della", "iso_c", "model_stock"])
def test_neither_workers_nor_pieces_change_a_byte(method: str, workers: int, made: Family, catalog: Catalog) -> None:
    plan = make_plan(made.recipe(method), catalog)
    once = dict(stream_leaves(plan, workers=1))
    assert_same_bits(once, dict(stream_leaves(plan, workers=workers, chunk_elements=7)))
