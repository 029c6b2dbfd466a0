"""`diff`: the same numbers as text, JSON and CSV, and everything that is wrong at once."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch

from tests.cli.conftest import Run, Trio, save, tensors


def test_a_difference_has_the_same_numbers_in_every_form(run: Run, trio: Trio) -> None:
    asked = ("diff", f"file:{trio.a}", f"file:{trio.b}", "--base", f"file:{trio.base}")
    document = run(*asked, "--json").document
    assert [row["depth"] for row in document["depths"]] == ["0", "1"]
    assert document["whole"]["largest"] == max(leaf["largest"] for leaf in document["leaves"])
    assert document["whole"]["task"]["sign_conflict"] == 1.0
    lines = list(csv.DictReader(io.StringIO(run(*asked, "--csv").out)))
    for line, numbers in zip(lines, [document["whole"], *document["depths"], *document["leaves"]], strict=True):
        assert float(line["norm"]) == numbers["norm"]
        assert float(line["cosine"]) == numbers["cosine"]
        assert float(line["task_norm_b"]) == numbers["task"]["norms"][1]
    text = run(*asked, "--top", "1").out
    (whole,) = [line for line in text.splitlines() if line.startswith("whole ")]
    assert whole.split()[1:4] == ["4", "23", f"{document['whole']['norm']:.4g}"]
    assert whole.endswith(" 100.0")
    most = max(document["leaves"], key=lambda leaf: leaf["relative"])
    assert "differ most:\nleaf" in text
    assert [line.split()[0] for line in text.partition("differ most:\n")[2].splitlines()] == ["leaf", most["leaf"]]


def test_a_model_does_not_differ_from_itself(run: Run, trio: Trio) -> None:
    answer = run("diff", f"file:{trio.a}", f"file:{trio.a}")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.endswith("no floating leaf differs\n")


def test_what_is_not_compared_is_said_below_the_table(run: Run, trio: Trio, tmp_path: Path) -> None:
    other = save(tmp_path / "other", {**tensors(0.5), "layers.1.bias": torch.zeros(3), "step": torch.tensor(3)})
    out = run("diff", f"file:{trio.a}", f"file:{other}").out
    assert "not compared: 2 leaves\n  layers.1.bias: [2] in" in out
    assert "step: only in" in out


def test_every_reference_that_is_wrong_is_named_at_once(run: Run, trio: Trio) -> None:
    answer = run("diff", "zoo:tiny/digit", f"file:{trio.a}", "--base", "nowhere/at/all")
    assert (answer.status, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 2
    assert "tiny/digits" in answer.err
    assert run("diff", "zoo:tiny/base", "zoo:tiny/base", "--csv", "--json").status == 2
