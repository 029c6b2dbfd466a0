"""What a study has measured is kept, and measured once."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.measuring import parts_in, scores_at
from merging_core.analysis.studies.memory import Memory
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import LiveEngine
from merging_core.errors import EvaluationError
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.loading import load_task


def test_a_memory_is_read_back_from_its_file_and_refused_to_another_study(tmp_path: Path) -> None:
    memory, path = Memory(), tmp_path / "found.npz"
    memory.put("t 0.5|tiny/digits|train", losses=numpy.arange(3, dtype=numpy.float32), correct=numpy.ones(3, bool))
    memory.save(path, "one")
    again = Memory.load(path, "one")
    assert list(again) == list(memory)
    assert again.get("t 0.5|tiny/digits|train")["losses"].tolist() == [0.0, 1.0, 2.0]  # type: ignore[index]
    with pytest.raises(EvaluationError, match="another study"):
        Memory.load(path, "two")
    path.write_bytes(b"PK")
    with pytest.raises(EvaluationError, match="cannot be read"):
        Memory.load(path, "one")


def test_the_rest_of_a_split_is_measured_after_its_preview_and_nothing_twice() -> None:
    zoo = load_zoo()
    engine, evaluator = LiveEngine(Catalog(zoo), "cpu"), Evaluator("cpu", workers=1)
    bench = StudyBench(engine, evaluator, (load_task(zoo.task_folder("basins/digits")),))
    config, weights = engine.opened("zoo:basins/left").config, engine.checkpoint("zoo:basins/left")
    memory, asked = Memory(), []

    def given() -> dict[str, object]:
        asked.append(1)
        return weights  # type: ignore[return-value]

    preview, full = parts_in(bench, ["validation"], "preview"), parts_in(bench, ["validation"], "full")
    (first,) = scores_at(bench, memory, config, "left", given, preview)  # type: ignore[arg-type]
    (whole,) = scores_at(bench, memory, config, "left", given, full)  # type: ignore[arg-type]
    (again,) = scores_at(bench, memory, config, "left", given, full)  # type: ignore[arg-type]
    expected = evaluator.evaluate(config, weights, bench.tasks, "validation").tasks[0]
    assert (first.n, whole.n, whole.of) == (preview[0].stop, full[0].stop, full[0].stop)
    assert whole.correct.tolist() == again.correct.tolist() == expected.correct.tolist()
    assert numpy.allclose(whole.losses, expected.losses, atol=1e-6) and whole.examples.tolist() == list(
        expected.examples
    )
    assert len(asked) == (2 if first.partial else 1)
