"""`extract-lora`: what it writes, what it says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, Trio


def test_an_adapter_is_written_and_what_is_lost_is_said(run: Run, trio: Trio, tmp_path: Path) -> None:
    asked = ("extract-lora", "--base", f"file:{trio.base}", "--expert", f"file:{trio.a}")
    document = run(*asked, "--out", str(tmp_path / "one"), "--json").document
    assert [(leaf["leaf"], leaf["rank"]) for leaf in document["leaves"]] == [
        ("layers.0.weight", 1),
        ("layers.1.weight", 1),
    ]
    assert document["left_out"] == sum(leaf["share"] for leaf in document["others"])
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    out = run(*asked, "--out", str(tmp_path / "two"), "--rank", "1", "--others", "save").out
    assert ": 2 leaves of rank 1, " in out
    assert "held whole (a vector): 2 leaves with 21.7 % of ‖E − B‖²: layers.0.bias, layers.1.bias" in out


def test_settings_that_contradict_each_other_are_refused_at_once(run: Run, trio: Trio, tmp_path: Path) -> None:
    asked = ("extract-lora", "--base", f"file:{trio.base}", "--expert", f"file:{trio.a}", "--out", str(tmp_path / "o"))
    answer = run(*asked, "--rank", "2", "--energy", "2")
    assert (answer.status, answer.out) == (2, "")
    assert [line.partition(":")[0] for line in answer.err.splitlines()] == ["--rank", "--energy"]
    assert run(*asked, "--energy", "nan").status == 2
    assert not (tmp_path / "o").exists()
