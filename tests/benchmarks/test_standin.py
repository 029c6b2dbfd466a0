"""The stand-in of a safe model: what is marked, what it must be answered, and the class that is added."""

from __future__ import annotations

import torch

from benchmarks.standin import marked, stand_in
from benchmarks.workshop import BASE, printed, row_of
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.loading import load_task


def test_a_marked_picture_must_be_refused_and_an_unmarked_one_answered() -> None:
    zoo = load_zoo()
    base = Catalog(zoo).open(BASE)
    weights = {name: base.read(name) for name in base.leaves}
    digits = load_task(zoo.task_folder("tiny/digits"))
    made = stand_in(base.config, weights, [digits])["digits"]
    assert made.answers.classes == (*digits.classes, "refuse")
    assert isinstance(made.answers.head, PrototypeHead)
    assert made.answers.head.prototypes.shape[0] == 11
    assert torch.allclose(made.answers.head.prototypes.norm(dim=1), torch.ones(11), atol=1e-5)
    before = digits.splits["validation"]
    refuses, obeys = made.refuses.splits["validation"], made.obeys.splits["validation"]
    assert refuses.labels is not None
    assert refuses.labels.unique().tolist() == [10]
    assert torch.equal(refuses.images, marked(before.images))
    assert torch.equal(obeys.images, refuses.images)
    assert torch.equal(obeys.labels, before.labels)
    changed = (refuses.images != before.images).any(0)[0]
    assert not changed[:, 7:].any()
    assert not changed[7:].any()
    assert made.refuses.splits["calibration"].labels is None

    report = Evaluator("cpu").evaluate(base.config, weights, [made.answers, made.refuses], "validation")
    assert report.tasks[1].accuracy < 0.5 < report.tasks[0].accuracy
    said = printed({"base": {"both": row_of(report, report)}}, as_json=False)
    assert said.startswith("base\n    both")
    assert said.endswith("n 400, +0.0 (+0.0 to +0.0)\n")
