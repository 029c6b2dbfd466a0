"""Foretold answers along line and curve: against direct passes, finite differences, and what each may know."""

from __future__ import annotations

from typing import Any, cast

import numpy
import torch

from merging_core.analysis.curves.bridge import BRIDGE
from merging_core.analysis.curves.curve import chord
from merging_core.analysis.curves.foretelling import Foretelling, relative_error
from merging_core.analysis.curves.predictors import fitted
from merging_core.analysis.studies.contract import Finding, StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.engines.points import Points
from merging_core.evaluation.evaluator import Part, parts_of
from merging_core.evaluation.tasks import AnyTask
from tests.analysis.studies.small import small_spec

STRANGERS = ["zoo:basins/stranger-1", "zoo:basins/stranger-2"]


def spec_of(**params: object) -> StudySpec:
    training = {} if params.get("path") == "line" else {"steps": 3, "batch": 8}
    section = {"name": "bridge", "params": {"points": 5, "nodes": 4, "fit": 24, **training, **params}}
    return small_spec(BRIDGE, study=section, models=STRANGERS)


def findings(bench: StudyBench, **params: object) -> list[Finding]:
    return list(BRIDGE.answer(spec_of(**params), bench, Memory()))


def logits(bench: StudyBench, flat: torch.Tensor, points: Points, part: Part) -> numpy.ndarray:
    """Logits in float64 by the layers themselves."""
    task: AnyTask = part.task
    values = task.prepared(task.inputs(part.split))[part.start : part.stop].double().flatten(1)
    leaves = points.space.views(flat.double())
    for layer in range(len(leaves) // 2):
        values = values if layer == 0 else values.relu()
        values = values @ leaves[f"layers.{layer}.weight"].T + leaves[f"layers.{layer}.bias"]
    return values.numpy()  # type: ignore[no-any-return]


def test_errors_on_the_line_are_those_of_direct_passes(bench: StudyBench, strangers: Points) -> None:
    numbers = cast("dict[str, Any]", findings(bench, path="line")[-1].numbers)
    line = chord(strangers, "bezier", 1)
    (part,) = parts_of(bench.tasks, "validation", "full")
    (train,) = parts_of(bench.tasks, "train", "full")
    known = {t: logits(bench, line.flat(t), strangers, part) for t in (0.0, 0.25, 0.75, 1.0)}
    fit = {t: logits(bench, line.flat(t), strangers, train)[:24] for t in (0.0, 0.25, 1.0)}
    (path,) = numbers["paths"]
    point = path["points"][1]
    ensemble = 0.75 * known[0.0] + 0.25 * known[1.0]
    bridge = fitted(numpy.stack((fit[0.0], fit[1.0])), fit[0.25])(numpy.stack((known[0.0], known[1.0])))
    assert point["t"] == 0.25 and path["n"] == 28
    for name, told in (("ends", ensemble), ("bridge", bridge)):
        found = point["foretold"][name]
        assert abs(found["error"] - relative_error(told, known[0.25])) < 1e-3
        assert found["agreement"] == float((told.argmax(1) == known[0.25].argmax(1)).mean())
    exact = point["foretold"]["nodes"]
    assert point["foretold"]["ends"]["error"] > 5.0 * exact["error"] > 0.0
    assert path["points"][0]["foretold"]["cubic"]["error"] == 0.0


def test_a_node_is_foretold_as_it_is(bench: StudyBench) -> None:
    (path,) = cast("dict[str, Any]", findings(bench, path="line", nodes=5, points=3)[-1].numbers)["paths"]
    assert [point["foretold"]["nodes"]["error"] for point in path["points"]] == [0.0, 0.0, 0.0]


def test_slopes_at_the_ends_are_the_derivative_of_the_logits(bench: StudyBench, strangers: Points) -> None:
    curve = chord(strangers, "bezier", 1)
    told = Foretelling("line", curve, spec_of(), bench, Memory())
    parts = parts_of(bench.tasks, "validation", "preview")
    first, last = (flat.double() for flat in strangers.flats)
    for end, inside in ((0.0, 1e-5), (1.0, 1.0 - 1e-5)):
        here, there = (logits(bench, first + (last - first) * t, strangers, parts[0]) for t in (end, inside))
        (slopes,) = told._slopes(end, parts)
        expected = (there - here) / (inside - end)
        assert numpy.abs(slopes - expected).max() < 2e-3 * numpy.abs(expected).max()


def test_the_line_alone_needs_no_training_and_the_curve_comes_after_it(bench: StudyBench) -> None:
    alone, both = findings(bench, path="line"), findings(bench)
    assert not any(finding.long for finding in alone)
    assert [finding.long for finding in both].count(True) == 1
    paths = [cast("dict[str, Any]", finding.numbers)["paths"] for finding in both]
    assert [path["path"] for path in paths[0]] == ["line"] and [path["path"] for path in paths[-1]] == ["line", "curve"]
    assert paths[-1][0] == cast("dict[str, Any]", alone[-1].numbers)["paths"][0]
    summary = cast("dict[str, Any]", both[-1].numbers)["summary"]
    assert {(row["path"], row["method"]) for row in summary} == {
        (path, name) for path in ("line", "curve") for name in ("ends", "tangent", "cubic", "nodes", "bridge")
    }
    assert all(row["points"] == 3 for row in summary)
