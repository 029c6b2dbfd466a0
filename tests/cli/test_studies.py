"""A command for every study: its options, its answers, and the folder that it goes on with."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from merging_core.analysis.studies.files import MEMORY, NUMBERS
from merging_core.analysis.studies.registry import studies
from merging_core.cli.main import INTERRUPTED
from merging_core.cli.study_names import STUDY_NAMES
from merging_core.evaluation.evaluator import Evaluator
from tests.cli.conftest import Run, Write

ENDS = ("zoo:basins/left", "zoo:basins/stranger-1")
LINE = ("interpolate", *ENDS, "--points", "5")
RECIPE = {
    "version": 1,
    "base": "zoo:basins/start",
    "models": [{"ref": "zoo:basins/left"}, {"ref": "zoo:basins/right"}],
    "method": {"name": "task_arithmetic"},
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples each call of the evaluator measures."""
    found: list[int] = []
    scores = Evaluator.scores

    def counted(self: Evaluator, config: Any, weights: Any, parts: Any, cancelled: Any = None) -> Any:
        found.append(sum(part.stop - part.start for part in parts))
        return scores(self, config, weights, parts, cancelled)

    monkeypatch.setattr(Evaluator, "scores", counted)
    return found


@pytest.mark.parametrize("info", studies(), ids=lambda info: info.name)
def test_every_study_has_a_command_with_an_option_for_each_parameter(run: Run, info: Any) -> None:
    text = " ".join(run(info.name, "--help").out.split())
    options = [f"--{parameter.name.replace('_', '-')} " for parameter in info.parameters if parameter.kind != "switch"]
    assert [option for option in [*options, "--out ", "--table ", "--json ", "--seed "] if option not in text] == []
    assert ("--split " in text, "--preview " in text) == (info.measures, info.measures)
    own = [parameter.name for parameter in info.parameters]
    assert set(own) & {"base", "family", "task", "split", "preview", "seed", "table", "out", "json", "help"} == set()


def test_the_list_of_commands_names_every_study_with_few_words() -> None:
    assert list(STUDY_NAMES) == [info.name for info in studies()]
    assert all(words.endswith(".") and len(words) <= 56 for words in STUDY_NAMES.values())


def test_an_answer_has_its_tables_and_says_what_was_measured(run: Run) -> None:
    document = run(*LINE, "--split", "validation", "--json").document
    assert (document["complete"], document["partial"], document["n"]) == (True, False, {"validation": 200})
    points = document["points"]
    assert [point["t"] for point in points] == [0, 0.25, 0.5, 0.75, 1]
    for point, ref in ((points[0], ENDS[0]), (points[-1], ENDS[1])):
        (score,) = point["scores"]
        assert score["accuracy"] == run("evaluate", ref, "--json").document["average"]["accuracy"]
    text = run(*LINE, "--preview").out
    assert "(n 20)" in text and "(n 200)" not in text
    assert any(line.split()[:3] == ["0.5", "basins/digits", "validation"] for line in text.splitlines())


def test_a_recipe_can_be_one_of_the_models(run: Run, write: Write) -> None:
    recipe = write("recipe.json", RECIPE)
    line = ("interpolate", "zoo:basins/left", recipe, "--points", "2", "--split", "validation", "--json")
    document = run(*line).document
    end = run("evaluate", recipe, "--json").document
    assert document["models"] == ["zoo:basins/left", "merge"]
    assert document["points"][-1]["scores"][0]["accuracy"] == end["average"]["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("interpolate", *ENDS, "--split", "test"), "test is for reporting"),
        (("interpolate", ENDS[0]), "takes 2 to 16 models, but 1 came"),
        (("interpolate", *ENDS, "--task", "digts"), "did you mean “digits”?"),
        (("interpolate", ENDS[0], "zoo:basins/lift"), "did you mean “basins/left”?"),
        ((*LINE, "--preview", "--table", "pth"), "did you mean “path”?"),
        (("interpolat", *ENDS), "Did you mean 'interpolate'?"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    answer = run(*arguments)
    assert (answer.status, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert words in line


def test_an_interrupted_study_goes_on_with_its_folder(
    run: Run, tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(*LINE, "--json").document
    examples = sum(measured)
    measured.clear()
    out = tmp_path / "out"

    class Late(threading.Event):
        """Ctrl-C, heard while the fourth point is measured."""

        def is_set(self) -> bool:
            return len(measured) > 3

    @contextmanager
    def pressed() -> Iterator[threading.Event]:
        yield Late()

    with monkeypatch.context() as patch:
        patch.setattr("merging_core.cli.geometry.interrupts", pressed)
        assert run(*LINE, "--out", str(out)).status == INTERRUPTED
    first = json.loads((out / NUMBERS).read_text(encoding="utf-8"))
    assert first["complete"] is False and (out / MEMORY).is_file()
    document = run(*LINE, "--out", str(out), "--json").document
    assert document["points"] == whole["points"] == json.loads((out / NUMBERS).read_text(encoding="utf-8"))["points"]
    assert sum(measured) <= examples + 40
    with (out / "path.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[0] == "t" and len(rows) >= 5
    assert run(*LINE, "--out", str(out), "--preview").status == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine", encoding="utf-8")
    assert "something else in it" in run(*LINE, "--out", str(tmp_path / "other")).err
