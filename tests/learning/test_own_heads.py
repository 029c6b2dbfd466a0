"""Texts, and heads that are not merged: the gradient goes through the body alone."""

from __future__ import annotations

import pytest
import torch

from merging_core.evaluation.text_tasks import own_head, text_classification
from merging_core.evaluation.tokenizing import read_tokenizer
from merging_core.learning.batches import Gradient, TaskBatches
from tests.evaluation.models import write_tokenizer
from tests.evaluation.test_text_tasks import CLASSES, model_of, rows


def test_texts_are_learned_from_with_each_experts_own_head(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("words")
    write_tokenizer(folder)
    tokenizer = read_tokenizer(folder)
    model, config, leaves = model_of("Bert", tmp_path_factory.mktemp("bert"))
    _, _, other = model_of("Bert", tmp_path_factory.mktemp("other"), seed=1)
    texts = {split: rows(12) for split in ("train", "calibration", "validation", "test")}
    tasks = [
        text_classification(name, CLASSES, texts, tokenizer, own_head(config, weights, "text classes", 3))
        for name, weights in (("one", leaves), ("two", other))
    ]
    batches = TaskBatches(config, leaves, tasks, "train", "cross_entropy", 12, 0)
    *_, found = batches.gradient(leaves, 0)
    batches.close()
    assert isinstance(found, Gradient)
    heads = set(tasks[0].head.leaves)  # type: ignore[union-attr]
    assert heads
    assert heads.isdisjoint(found.leaves)
    assert found.leaves.keys() >= leaves.keys() - heads

    labels = torch.tensor([label for _, label in rows(12)])
    ids = [tokenizer.pairs([(text, None)])[0][0] for text, _ in rows(12)]  # type: ignore[list-item]
    total = torch.zeros(())
    for row, label in zip(ids, labels, strict=True):
        total = total + torch.nn.functional.cross_entropy(model(input_ids=torch.tensor([row])).logits, label[None]) / 12
    assert found.losses[0] == pytest.approx(total.item(), rel=1e-4)
    assert found.losses[1] != found.losses[0]
