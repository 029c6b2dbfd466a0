"""A point of a trained curve becomes a checkpoint: the right weights, and nothing where there is no trained curve."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy
import pytest
import torch

from merging_core.analysis.studies.files import MEMORY, NUMBERS
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.reader import open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.checkpoints.zoo import load_zoo
from tests.cli.conftest import Run

STRANGERS = ("zoo:basins/stranger-1", "zoo:basins/stranger-2")
CURVE = ("curve", *STRANGERS, "--steps", "3", "--batch", "8", "--points", "3", "--preview", "--split", "validation")


@pytest.fixture
def asked(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "curve"
    assert run(*CURVE, "--out", str(folder)).status == 0
    return folder


def test_a_point_of_the_curve_is_written_as_a_model_that_can_be_evaluated(
    run: Run, asked: Path, tmp_path: Path
) -> None:
    target, catalog = tmp_path / "quarter", Catalog(load_zoo())
    said = run("curve-point", str(asked), "0.25", "--out", str(target), "--json").document
    assert said["shares"] == [0.5625, 0.375, 0.0625]
    found, ends = open_checkpoint(target, Ref("file", "quarter")), [catalog.open(ref) for ref in STRANGERS]
    with numpy.load(asked / MEMORY) as memory:
        bend = torch.tensor(memory["training/bends"][0]).double()
    start = 0
    for name in found.leaves:
        leaf = found.read(name).double()
        middle = bend[start : start + leaf.numel()].view(leaf.shape)
        start += leaf.numel()
        expected = 0.5625 * ends[0].read(name) + 0.375 * middle + 0.0625 * ends[1].read(name)
        torch.testing.assert_close(leaf, expected, rtol=1e-5, atol=1e-6)
    assert start == len(bend)
    assert "t = 0.25" in (target / "README.md").read_text(encoding="utf-8")
    assert run("evaluate", f"file:{target}", "--split", "validation", "--json").document["n"] == 200


def test_where_there_is_no_trained_curve_nothing_is_written(run: Run, asked: Path, tmp_path: Path) -> None:
    target = tmp_path / "none"

    def refused(folder: Path, t: str) -> str:
        answer = run("curve-point", str(folder), t, "--out", str(target))
        assert answer.status == 2 and not target.exists() and str(tmp_path) not in answer.err
        return answer.err

    assert "lies at t in [0, 1]" in refused(asked, "1.5")
    assert "one that a study wrote" in refused(tmp_path, "0.5")
    document = json.loads((asked / NUMBERS).read_text(encoding="utf-8"))
    document["spec"]["study"]["params"]["steps"] = 4
    longer = tmp_path / "longer"
    shutil.copytree(asked, longer)
    (longer / NUMBERS).write_text(json.dumps(document), encoding="utf-8")
    assert "written by the same study" in refused(longer, "0.5")
    line = tmp_path / "line"
    assert run("interpolate", *STRANGERS, "--points", "2", "--preview", "--out", str(line)).status == 0
    assert "one of the study curve" in refused(line, "0.5")
