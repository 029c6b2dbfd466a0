"""A recipe in four forms: each of them, pasted, makes the merge that it stands for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import load_zoo
from merging_core.cli.main import main
from merging_core.engines import Plan, make_plan, stream_merge
from merging_core.export import forms, pinned
from merging_core.export.words import in_words
from merging_core.hub.exported import read_exported
from merging_core.recipes import Recipe, load_recipe, parse_recipe

ROOT = Path(__file__).resolve().parents[2]
SHARD = 80_000


def recipe(**changes: Any) -> Recipe:
    models = [{"ref": "zoo:basins/left", "weight": 0.75, "params": {"density": 0.3}}, {"ref": "zoo:basins/right"}]
    method = {"name": "dare_ties", "params": {"density": 0.5}}
    return parse_recipe({"version": 1, "base": "zoo:basins/start", "models": models, "method": method, **changes})


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(recipe(seed=3, **{"lambda": 0.7}), Catalog(load_zoo()))


@pytest.fixture(scope="module")
def expected(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = stream_merge(plan, Catalog(load_zoo()), tmp_path_factory.mktemp("direct") / "out", shard_bytes=SHARD)
    return weights(out)


def weights(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("model*")}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_yaml_and_json_are_files_that_the_command_line_merges(
    form: str, plan: Plan, expected: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = forms(pinned(plan.recipe, plan.pins)).as_json()[form]
    file = tmp_path / f"recipe.{form}"
    file.write_text(made, encoding="utf-8")
    assert load_recipe(file) == pinned(plan.recipe, plan.pins)
    assert main(["merge", str(file), str(tmp_path / "out"), "--shard-size", "80kB"]) == 0
    assert plan.hash in capfd.readouterr().out
    assert weights(tmp_path / "out") == expected


@pytest.mark.parametrize("form", ["python", "command"])
def test_python_and_shell_run_as_they_are(form: str, plan: Plan, expected: dict[str, bytes], tmp_path: Path) -> None:
    text = forms(pinned(plan.recipe, plan.pins), SHARD).as_json()[form]
    here = text.replace("python -m", f'"{sys.executable}" -m')
    program = [sys.executable, "-c", text] if form == "python" else ["sh", "-ec", here]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "merged") == expected


def test_a_pinned_recipe_is_the_same_merge(plan: Plan) -> None:
    again = make_plan(pinned(plan.recipe, plan.pins), Catalog(load_zoo()))
    assert again.hash == plan.hash and again.recipe != plan.recipe


def test_python_opens_files_only_where_the_recipe_names_some() -> None:
    assert "allow_files" not in forms(recipe()).python
    files = parse_recipe({"version": 1, "models": [{"ref": "file:/models/a"}], "method": {"name": "linear"}})
    assert "Catalog(load_zoo(), allow_files=True)" in forms(files).python


def test_mergekit_gets_its_own_words_or_the_reason_why_it_has_none() -> None:
    method = {"name": "dare_ties", "params": {"density": 0.5, "rescale": "norm"}}
    assert forms(recipe(method=method)).mergekit.splitlines()[3] == "merge_method: dare_ties"
    assert forms(recipe()).mergekit.splitlines() == [
        "# mergekit has no words for this merge.",
        "# method.params.rescale: mergekit keeps Σ|τ| of a leaf, but probability came; set rescale to norm.",
    ]


def test_what_was_learned_is_told_and_found_beside_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = LearnedTensors((tmp_path,)).keep({"coefficients": torch.tensor([0.5, 0.25])})
    learned = parse_recipe({**recipe().as_json(), "tensors": str(ref)})
    assert "Learned tensors, in recipe.tensors" in in_words(learned)
    monkeypatch.chdir(tmp_path)
    exec(forms(learned).python, {})
    direct = make_plan(learned, Catalog(load_zoo(), learned=LearnedTensors((tmp_path,))))
    assert f'"basin_recipe":"{direct.hash}"'.encode() in (tmp_path / "merged" / "model.safetensors").read_bytes()
    assert set(read_exported(tmp_path / "merged").files) >= {"recipe.tensors", "README.md"}


def test_the_forms_of_a_merge_by_what_was_measured_say_so() -> None:
    models = [
        {"ref": f"zoo:basins/{name}", "statistics": f"learned:{name[0].encode().hex() * 32}"}
        for name in ("left", "right")
    ]
    measured = parse_recipe({"version": 1, "models": models, "method": {"name": "fisher"}})
    assert "What was measured of the models on examples is named by content in the recipe." in in_words(measured)
    found = forms(measured)
    assert "LearnedTensors" in found.python and models[0]["statistics"] in found.yaml
    assert "Fisher merging came; it has none like it" in found.mergekit


def test_words_tell_weights_overrides_scaling_and_seed() -> None:
    scaling = {"kind": "lines", "alpha": 0.5, "beta": 1.0}
    words = in_words(recipe(seed=3, layer_scaling=scaling, dtype="bfloat16"))
    assert "zoo:basins/left (weight 0.75, density 0.3) and zoo:basins/right on the base zoo:basins/start" in words
    assert "Layer scaling: LiNeS on the merged vector, with alpha 0.5, beta 1, outside alpha." in words
    assert "seed 3" in words and words.endswith("The result is stored as bfloat16.")
    assert "seed" not in in_words(recipe(method={"name": "ties"}))


def test_words_tell_numbers_that_differ_between_leaves() -> None:
    weight = [{"filter": "layers.0", "value": [0, 0.5]}, {"value": 1}]
    models = [{"ref": "zoo:basins/left", "weight": weight}, {"ref": "zoo:basins/right"}]
    words = in_words(recipe(models=models, **{"lambda": [0.2, 0.4]}), lambda name: f"“{name}”")
    assert "“zoo:basins/left” (weight (0 … 0.5 in “layers.0”, else 1)) and" in words
    assert "λ is (0.2 … 0.4)." in words


def test_words_stay_short_with_many_models() -> None:
    models = [{"ref": f"zoo:m{place}"} for place in range(12)]
    words = in_words(parse_recipe({"version": 1, "models": models, "method": {"name": "linear"}}))
    assert "zoo:m6 and 5 more" in words and "zoo:m7" not in words
