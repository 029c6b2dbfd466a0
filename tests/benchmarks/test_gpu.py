"""The benchmark of devices runs on whatever is there, and its figures say against what they are held."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu import SMALL, Row, Scale, main


@pytest.mark.slow
def test_the_small_run_measures_every_part_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--small", "--device", "cpu", "--repeats", "1", "--json", "--folder", str(tmp_path)])
    found = json.loads(capsys.readouterr().out)
    assert found["small"] and found["on"].startswith("cpu: no CUDA device is at hand")
    said = [row["what"] for row in found["rows"]]
    assert sum(what.startswith("live") for what in said) == 8
    assert sum(what.startswith("evaluation") for what in said) == 1
    assert [what for what in said if what.startswith("streaming")] == [
        "streaming, linear, small, cpu", "streaming, ties, small, cpu"
    ]  # fmt: skip
    assert all(row["seconds"] > 0 and row["reference"] > 0 for row in found["rows"])
    assert list(tmp_path.iterdir()) == []


def test_the_figures_are_those_of_a_vit_b_32() -> None:
    assert Scale().tokens == 50 and SMALL.tokens == 17
    assert 8.5e9 < Scale().operations < 9e9
    assert Row("a", 3.0, "b", 2.0).ratio == 1.5
