"""Kernel behaviour: accuracies and kernels against float64, on the zoo's perceptrons."""

from __future__ import annotations

from typing import Any, cast

import numpy
import pytest
import torch

from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import parse_study
from merging_core.analysis.tangents.kernel import KERNEL
from merging_core.evaluation.intervals import difference, pair_counts, wilson
from tests.analysis.studies.small import small_bench
from tests.analysis.tangents.test_disentangle import forward, linear

MODELS = ("zoo:basins/left", "zoo:basins/stranger-1")


def test_accuracies_and_distances_are_those_of_float64() -> None:
    bench = small_bench()
    params = {"range": 2.0, "coefficients": 2, "examples": 4, "logits": 3}
    given = {"version": 1, "study": {"name": "kernel", "params": params}, "base": "zoo:basins/start"}
    *_, last = KERNEL.answer(parse_study({**given, "models": list(MODELS)}), bench, Memory())
    numbers = cast("dict[str, Any]", last.numbers)
    (task,) = bench.tasks
    rows = task.prepared(cast("Any", task).inputs("validation")).double()
    labels = task.labels("validation")[torch.tensor(task.splits["validation"].order)]
    base, *experts = (
        {name: leaf.double() for name, leaf in bench.engine.checkpoint(ref).items()}
        for ref in ("zoo:basins/start", *MODELS)
    )
    straight = linear(base, rows)
    expected = [(model, alpha) for model in range(2) for alpha in (1.0, 2.0)]
    assert [(MODELS.index(point["model"]), point["alpha"]) for point in numbers["points"]] == expected
    for point, (model, alpha) in zip(numbers["points"], expected, strict=True):
        at = {name: leaf + alpha * (experts[model][name] - leaf) for name, leaf in base.items()}
        plain, line = (found.argmax(dim=1) == labels for found in (forward(at, rows), straight(at)))
        assert point["n"] == 28
        assert point["accuracy"] == pytest.approx(float(plain.double().mean()))
        assert point["linearised"] == pytest.approx(float(line.double().mean()))
        assert point["interval"] == pytest.approx(list(wilson(int(plain.sum()), 28)))
        assert point["linearised_interval"] == pytest.approx(list(wilson(int(line.sum()), 28)))
        gap = difference([pair_counts(line.numpy(), plain.numpy())])
        assert point["difference"]["value"] == pytest.approx(gap.value)

    picked = torch.tensor([0, round((len(task.classes) - 1) / 2), len(task.classes) - 1])

    def kernel(leaves: dict[str, torch.Tensor]) -> numpy.ndarray:
        held = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
        out = forward(held, rows[:4])[:, picked].flatten()
        grads = [torch.autograd.grad(value, list(held.values()), retain_graph=True) for value in out]
        jacobian = torch.stack([torch.cat([step.flatten() for step in grad]) for grad in grads])
        return (jacobian @ jacobian.T).numpy()

    start = kernel(base)
    for row, expert in zip(numbers["kernels"], experts, strict=True):
        there = kernel(expert)
        cosine = (start * there).sum() / numpy.linalg.norm(start) / numpy.linalg.norm(there)
        assert (row["examples"], row["logits"]) == (4, 3)
        assert row["distance"] == pytest.approx(1 - cosine, abs=1e-5)
        assert row["growth"] == pytest.approx(numpy.trace(there) / numpy.trace(start), rel=1e-4)
        assert row["interval"][0] <= row["distance"] <= row["interval"][1]
