"""What is read between blocks is what transformers calls hidden states, whatever the architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.analysis.representations.states import reader
from merging_core.evaluation.language_model import text_task
from merging_core.evaluation.token_rows import trimmed
from merging_core.evaluation.tokenizing import TextTokenizer, read_tokenizer
from tests.evaluation.models import write_tokenizer
from tests.evaluation.test_language_model import TEXT
from tests.evaluation.test_language_model import model_of as language_model
from tests.evaluation.test_text_tasks import model_of as classifier
from tests.evaluation.test_text_tasks import task_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    where = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(where)
    return read_tokenizer(where)


def hidden_states(model: Any, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    ids, _, mask = trimmed(rows, 0)
    with torch.inference_mode():
        found: tuple[torch.Tensor, ...] = model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
    return found


@pytest.mark.parametrize("kind", ["Bert", "DistilBert"])
def test_a_classifier_of_texts_is_read_token_by_token_and_padding_counts_for_nothing(
    kind: str, tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    model, config, weights = classifier(kind, tmp_path)
    task = task_of(tokenizer)
    rows = task.inputs("validation")[:6]
    hidden = hidden_states(model, rows)
    held = (rows[:, 0, : hidden[0].shape[1]] >= 0)[..., None]
    states = reader(config, weights, task, CPU, "all").states(rows)
    assert list(states) == ["before", "block 1", "block 2", "output"]
    for name, state in zip(("before", "block 1"), hidden, strict=False):
        kept = (state * held).flatten(1)
        assert torch.allclose(states[name][:, : kept.shape[1]], kept, atol=1e-4)
        assert not states[name][:, kept.shape[1] :].any()
    mean = reader(config, weights, task, CPU, "mean")
    together = mean.states(rows)["block 1"]
    alone = torch.cat([mean.states(row)["block 1"] for row in rows.split(1)])  # type: ignore[no-untyped-call]
    assert torch.allclose(together, alone, atol=1e-4)
    assert torch.allclose(together, (hidden[1] * held).sum(1) / held.sum(1), atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama tied"])
def test_a_language_model_is_read_window_by_window(kind: str, tokenizer: TextTokenizer, tmp_path: Path) -> None:
    model, config, weights = language_model(kind, tmp_path)
    task = text_task(TEXT, tokenizer, window=16, stride=8)
    rows = task.inputs("validation")[:3]
    one = reader(config, weights, task, CPU, "all")
    states = one.states(rows)
    assert list(states) == ["before", "block 1", "block 2"]
    if kind == "gpt2":
        for name, state in zip(("before", "block 1"), hidden_states(model, rows), strict=False):
            assert torch.allclose(states[name], state.flatten(1), atol=1e-4)
    else:
        norm = model.model.layers[1].input_layernorm
        assert torch.allclose(states["block 1"], norm(hidden_states(model, rows)[1]).flatten(1), atol=1e-4)
        assert torch.allclose(states["block 2"], hidden_states(model, rows)[2].flatten(1), atol=1e-4)
    assert torch.allclose(one.joined(rows), torch.cat(list(states.values()), dim=1), atol=1e-5)
