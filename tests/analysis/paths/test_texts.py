"""The line between two language models: barriers of loss, tokens in runs, and what is no accuracy is not called one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from merging_core.analysis.paths.interpolate import INTERPOLATE
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.language_model import text_task
from merging_core.evaluation.tokenizing import read_tokenizer
from tests.evaluation.models import write_tokenizer
from tests.evaluation.test_language_model import TEXT, model_of


def test_a_text_has_barriers_of_loss_and_its_tokens_are_ranked(tmp_path: Path) -> None:
    refs = []
    for seed in (1, 2):
        model_of("gpt2", tmp_path / str(seed), seed)
        refs.append(f"file:{tmp_path / str(seed)}")
    write_tokenizer(tmp_path / "words", around=False, start=True)
    task = text_task(TEXT, read_tokenizer(tmp_path / "words"), window=16, stride=8)
    engine, evaluator = LiveEngine(Catalog(load_zoo(), allow_files=True), "cpu"), Evaluator("cpu", workers=1)
    bench = StudyBench(engine, evaluator, (task,))
    study = {"name": "interpolate", "params": {"points": 5}}
    spec = parse_study({"version": 1, "study": study, "models": refs, "splits": ["validation"]})
    *_, last = INTERPOLATE.answer(spec, bench, Memory())
    numbers = cast("dict[str, Any]", last.numbers)
    assert {row["metric"] for row in numbers["barriers"]} == {"loss"}
    assert numbers["n"] == {"validation": len(task.splits["validation"])} and not numbers["partial"]
    assert [(row["accuracy"], row["accuracy_interval"]) for row in numbers["means"]] == [(None, None)] * 5
    for mean, point in zip(numbers["means"], numbers["points"], strict=True):
        assert mean["loss"] == pytest.approx(point["scores"][0]["loss"], abs=1e-6)
    for found in numbers["examples"]:
        labels = task.labels("validation")
        assert all(row["label"] == int(labels[row["example"]]) and row["said"] is None for row in found["rows"])
    tables = INTERPOLATE.tables(numbers)
    assert len(tables["path"].rows) == 5 and {row[4] for row in tables["barriers"].rows} == {"loss"}
