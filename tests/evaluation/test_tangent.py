"""Linearised models: their derivative against finite differences, and what keeps a derivative from being lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from merging_core.errors import EvaluationError
from merging_core.evaluation.architectures import Architecture, architecture
from merging_core.evaluation.attention import attention
from merging_core.evaluation.evaluator import Evaluator
from merging_core.evaluation.heads import OwnHead, PrototypeHead
from merging_core.evaluation.language_model import TextTask, Windows
from merging_core.evaluation.tangent import Linearised, along
from merging_core.evaluation.token_rows import packed
from tests.evaluation.standins import CLIP_CONFIG, MLP_CONFIG, make_task, random_weights

SMALL = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 12}
VIT_CONFIG = {"model_type": "vit", **SMALL, "num_channels": 1, "image_size": 8, "patch_size": 4}
BERT_CONFIG = {"model_type": "bert", **SMALL, "vocab_size": 16, "max_position_embeddings": 16, "pad_token_id": 0}
TEXTS = packed([[1, 2, 3, 4], [1, 5, 6]], [[0, 0, 0, 0], [0, 0, 0]])
ROBERTA_CONFIG = {**BERT_CONFIG, "model_type": "roberta", "pad_token_id": 0}
DISTILBERT_CONFIG = {
    "model_type": "distilbert", "dim": 8, "n_heads": 2, "n_layers": 2, "hidden_dim": 12, "vocab_size": 16,
    "max_position_embeddings": 16, "pad_token_id": 0,
}  # fmt: skip
PROJECTED = {"architectures": ["CLIPVisionModelWithProjection"], "projection_dim": 5}
MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "clip": (CLIP_CONFIG, "pictures"),
    "clip with a projection": ({**CLIP_CONFIG, **PROJECTED}, "pictures"),
    "whole clip": ({"model_type": "clip", "vision_config": CLIP_CONFIG, "projection_dim": 5}, "pictures"),
    "vit with classes": (VIT_CONFIG, "picture classes"),
    "roberta": (ROBERTA_CONFIG, "text classes"),
    "distilbert": (DISTILBERT_CONFIG, "text classes"),
    "vit": (VIT_CONFIG, "pictures"),
    "perceptron": (MLP_CONFIG, "pictures"),
    "bert": (BERT_CONFIG, "text classes"),
}


def wide(found: Architecture, seed: int) -> dict[str, torch.Tensor]:
    return {name: leaf.double() for name, leaf in random_weights(dict(found.leaves), seed).items()}


def images(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def plus(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], factor: float) -> dict[str, torch.Tensor]:
    return {name: leaf + factor * second[name] for name, leaf in first.items()}


@pytest.mark.parametrize("name", MODELS)
def test_the_derivative_is_that_of_finite_differences_in_float64(name: str) -> None:
    config, asked = MODELS[name]
    found = architecture(config, asked, 3)  # type: ignore[arg-type]
    weights, vector = wide(found, 1), wide(found, 2)
    rows = TEXTS if asked == "text classes" else images()
    value, slope = along(found.forward, weights, vector, rows)
    step = 1e-6
    with torch.no_grad():
        high, low = (found.forward(plus(weights, vector, sign * step), rows) for sign in (1.0, -1.0))
        torch.testing.assert_close(value, found.forward(weights, rows), rtol=1e-12, atol=1e-12)
    expected = (high - low) / (2 * step)
    assert float((slope - expected).abs().max()) < 1e-6 * float(expected.abs().max())


def test_at_the_base_it_is_the_model_and_it_is_exactly_linear_in_the_vector() -> None:
    found = architecture(CLIP_CONFIG)
    base, first, second, rows = wide(found, 1), wide(found, 2), wide(found, 3), images()
    model = Linearised(found.forward, base)
    start = found.forward(base, rows)
    torch.testing.assert_close(model(base, rows), start, rtol=1e-12, atol=1e-12)
    both = model(plus(plus(base, first, 0.3), second, -2.0), rows) - start
    parts = [model(plus(base, vector, 1.0), rows) - start for vector in (first, second)]
    torch.testing.assert_close(both, 0.3 * parts[0] - 2.0 * parts[1], rtol=1e-10, atol=1e-10)


def test_its_gradient_is_that_of_finite_differences_for_weights_away_from_the_base() -> None:
    found = architecture(MLP_CONFIG)
    names = tuple(found.leaves)
    base, weights, rows = wide(found, 1), wide(found, 2), images()
    model = Linearised(found.forward, base)

    def loss(*leaves: torch.Tensor) -> torch.Tensor:
        return model(dict(zip(names, leaves, strict=True)), rows).logsumexp(dim=1).sum()

    leaves = tuple(weights[name].requires_grad_() for name in names)
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-6)


def test_no_derivative_is_lost_in_inference_mode_or_in_single_precision() -> None:
    found = architecture(CLIP_CONFIG)
    rows, weights, vector = images(), wide(found, 1), wide(found, 2)
    _, expected = along(found.forward, weights, vector, rows)
    single = [{name: leaf.float() for name, leaf in leaves.items()} for leaves in (weights, vector)]
    with torch.inference_mode():
        made = [{name: leaf.clone() for name, leaf in leaves.items()} for leaves in single]
        assert all(leaf.is_inference() for leaf in made[0].values())
        _, slope = along(found.forward, made[0], made[1], rows.float())
        assert float((slope - expected).norm()) < 1e-3 * float(expected.norm())
    with torch.no_grad():
        _, slope = along(found.forward, single[0], single[1], rows.float())
    assert float((slope - expected).norm()) < 1e-3 * float(expected.norm())


def test_threads_that_ask_at_once_do_not_meet() -> None:
    found = architecture(VIT_CONFIG)
    vectors = [wide(found, seed) for seed in range(8)]
    weights, rows = wide(found, 9), images()
    alone = [along(found.forward, weights, vector, rows)[1] for vector in vectors]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda vector: along(found.forward, weights, vector, rows)[1], vectors)
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "how", [{}, {"is_causal": True}, {"mask": "bool"}, {"mask": "float"}, {"scale": 0.3}, {"enable_gqa": True}]
)
def test_attention_that_is_written_out_is_that_of_torch(how: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 4, 5, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    if how.get("enable_gqa"):
        key, value = key[:, :2], value[:, :2]
    keeps = torch.rand(2, 1, 5, 5, generator=generator) > 0.3
    keeps[..., 0] = True
    masks = {"bool": keeps, "float": keeps.double()}
    given = {name: option for name, option in how.items() if name != "mask"}
    given |= {"attn_mask": masks[how["mask"]]} if "mask" in how else {}
    expected = scaled_dot_product_attention(query, key, value, **given)
    torch.testing.assert_close(attention(query, key, value, **given), expected, rtol=1e-12, atol=1e-12)


def test_the_evaluator_scores_the_linearised_model_and_says_so() -> None:
    found = architecture(CLIP_CONFIG)
    task = make_task("one", {"validation": 40}, width=12)
    base, weights = random_weights(dict(found.leaves), 1), random_weights(dict(found.leaves), 2)
    plain = Evaluator("cpu", batch=16)
    linear = plain.linearised(base)
    report = linear.evaluate(CLIP_CONFIG, weights, [task])
    assert report.linearised and report.as_json()["linearised"] is True
    rows = task.prepared(task.inputs("validation"))
    _, slope = along(found.forward, base, plus(weights, base, -1.0), rows)
    assert isinstance(task.head, PrototypeHead)
    with torch.no_grad():
        features = found.forward(base, rows) + slope
    order = torch.tensor(task.splits["validation"].order)
    expected = task.head.logits(features).argmax(dim=1) == task.labels("validation")[order]
    assert numpy.array_equal(report.tasks[0].correct, expected.numpy())
    at_base, start = linear.evaluate(CLIP_CONFIG, base, [task]), plain.evaluate(CLIP_CONFIG, base, [task])
    assert numpy.array_equal(at_base.tasks[0].correct, start.tasks[0].correct)
    assert not start.linearised and "linearised" not in start.as_json()
    assert not numpy.array_equal(report.tasks[0].losses, plain.evaluate(CLIP_CONFIG, weights, [task]).tasks[0].losses)


def test_an_own_head_stands_still_and_both_halves_of_an_anytime_report_are_linearised() -> None:
    found = architecture(MLP_CONFIG)
    base, weights = random_weights(dict(found.leaves), 1), random_weights(dict(found.leaves), 2)
    task = make_task("one", {"validation": 200})
    assert isinstance(task.head, OwnHead)
    first, whole = Evaluator("cpu").linearised(base).anytime(MLP_CONFIG, weights, [task])
    assert first.linearised and whole.linearised and first.partial and not whole.partial


def test_a_text_without_classes_is_refused() -> None:
    config = {"model_type": "gpt2", "vocab_size": 16, "n_embd": 6, "n_layer": 1, "n_head": 2, "n_positions": 8}
    windows = Windows(packed([[1, 2, 3]], [[0, 1, 1]]), torch.tensor([2, 3]), (2,))
    task = TextTask("text", "Text", "", {"validation": windows})
    with pytest.raises(EvaluationError, match="a linearised model is scored on tasks with classes"):
        Evaluator("cpu").linearised({}).evaluate(config, {}, [task])
