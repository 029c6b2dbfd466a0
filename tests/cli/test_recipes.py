"""`recipe import` and `recipe export`: from mergekit's words to ours and back."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.cli.conftest import Run

MERGEKIT = """\
merge_method: task_arithmetic
base_model: zoo:tiny/base
models:
- model: zoo:tiny/digits
  parameters: {weight: 0.5}
"""


def test_an_imported_recipe_is_one_that_the_command_line_plans(run: Run, tmp_path: Path) -> None:
    file, ours = tmp_path / "mergekit.yaml", tmp_path / "ours.yaml"
    file.write_text(MERGEKIT)
    found = run("recipe", "import", str(file))
    assert found.status == 0 and found.out.startswith("version: 1") and "dtype: float32" in found.out
    ours.write_text(found.out)
    assert run("plan", str(ours)).status == 0
    written = run("recipe", "export", str(ours), "--json").document
    assert written["mergekit"].splitlines()[1:3] == ["merge_method: task_arithmetic", "base_model: zoo:tiny/base"]


def test_folders_begin_where_they_are_told_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "expert").mkdir()
    file = tmp_path / "mergekit.yaml"
    file.write_text(MERGEKIT.replace("zoo:tiny/digits", "./expert"))
    found = run("recipe", "import", str(file), "--base-folder", str(tmp_path), "--dtype", "float16", "--json").document
    assert found["recipe"]["models"][0]["ref"] == f"file:{tmp_path / 'expert'}"
    assert (found["recipe"]["dtype"], found["notes"]) == ("float16", [])


def test_what_cannot_be_read_is_said_with_its_line_and_status_two(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mergekit.yaml"
    file.write_text(MERGEKIT.replace("weight", "wieght"))
    found = run("recipe", "import", str(file))
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("line 5: models[0].parameters.wieght: parameters of task_arithmetic")
    assert run("recipe", "import", str(tmp_path / "none.yaml")).status == 2


def test_without_a_dtype_the_merge_is_stored_as_the_base_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    leaves = {"layers.0.weight": torch.zeros(2, 2, dtype=torch.bfloat16)}
    save_file(leaves, tmp_path / "base" / "model.safetensors")
    (tmp_path / "base" / "config.json").write_text("{}")
    file = tmp_path / "mergekit.yaml"
    file.write_text(MERGEKIT.replace("zoo:tiny/base", "./base").replace("zoo:tiny/digits", "ada/x"))
    found = run("recipe", "import", str(file), "--base-folder", str(tmp_path), "--json").document
    assert (found["recipe"]["dtype"], found["notes"]) == ("bfloat16", [])
    file.write_text(MERGEKIT.replace("zoo:tiny", "ada"))
    assert "names no dtype" in run("recipe", "import", str(file)).out.splitlines()[0]
