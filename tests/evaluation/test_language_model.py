"""The loss of a pasted text is what transformers computes, token by token, with its n and its interval."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from safetensors.torch import load_file

from merging_core.errors import CancelledError, EvaluationError
from merging_core.evaluation import tokenizing
from merging_core.evaluation.evaluator import Evaluator, parts_of
from merging_core.evaluation.intervals import mean_interval
from merging_core.evaluation.language_model import TextTask, text_task
from merging_core.evaluation.paths import barrier, trace
from merging_core.evaluation.report import compare
from merging_core.evaluation.tokenizing import TextTokenizer, read_tokenizer
from tests.evaluation.models import WORDS, config_of, made, saved, write_tokenizer

LLAMA: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
GPT2: dict[str, Any] = {"vocab_size": len(WORDS), "n_embd": 12, "n_layer": 2, "n_head": 3, "n_positions": 32}
NEOX: dict[str, Any] = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", GPT2),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", NEOX),
    "llama": ("LlamaConfig", "LlamaForCausalLM", LLAMA),
    "llama tied": ("LlamaConfig", "LlamaForCausalLM", LLAMA | {"tie_word_embeddings": True}),
    "llama3 rope": (
        "LlamaConfig", "LlamaForCausalLM",
        LLAMA | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0,
                                     "high_freq_factor": 4.0, "original_max_position_embeddings": 16}},
    ),
    "mistral": ("MistralConfig", "MistralForCausalLM", LLAMA | {"sliding_window": 6}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", LLAMA),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", LLAMA | {"head_dim": 8}),
}  # fmt: skip
TEXT = " ".join(WORDS[4 + (index * index + index // 3) % 12] for index in range(50))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    where = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(where, around=False, start=True)
    return read_tokenizer(where)


def model_of(kind: str, folder: Path, seed: int = 0) -> tuple[Any, dict[str, Any], dict[str, torch.Tensor]]:
    config_class, model_class, values = KINDS[kind]
    model = made(getattr(transformers, model_class), getattr(transformers, config_class)(**values), seed)
    saved(model, folder)
    return model, config_of(folder), load_file(folder / "model.safetensors")


def expected(model: Any, ids: list[int], window: int, stride: int) -> tuple[list[float], list[bool]]:
    """Score every token once by the sliding windows of transformers' guide, one window at a time."""
    nats, hits, scored = [], [], 1
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids[begin:end]])).logits[0].double()
        for place in range(scored, end):
            row = logits[place - 1 - begin]
            nats.append(float(row.logsumexp(0) - row[ids[place]]))
            hits.append(int(row.argmax()) == ids[place])
        scored = end
        if end == len(ids):
            break
    return nats, hits


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_token_is_scored_as_transformers_does(kind: str, tokenizer: TextTokenizer, tmp_path: Path) -> None:
    model, config, leaves = model_of(kind, tmp_path)
    task = text_task(TEXT, tokenizer, window=16, stride=7)
    score = Evaluator(workers=1).evaluate(config, leaves, [task]).tasks[0]
    nats, hits = expected(model, tokenizer.ids([TEXT])[0], 16, 7)
    assert (score.n, score.of, score.metric) == (50, 50, "perplexity")
    numpy.testing.assert_allclose(score.losses, nats, rtol=2e-4, atol=2e-5)
    assert score.correct.tolist() == hits
    assert score.loss == pytest.approx(sum(nats) / 50, rel=1e-4)
    assert score.perplexity == pytest.approx(math.exp(sum(nats) / 50), rel=1e-4)


def test_one_window_is_the_loss_that_transformers_reports(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    model, config, leaves = model_of("gpt2", tmp_path)
    text = " ".join(TEXT.split()[:20])
    ids = torch.tensor(tokenizer.ids([text]))
    with torch.inference_mode():
        theirs = float(model(input_ids=ids, labels=ids).loss)
    ours = Evaluator(workers=1).evaluate(config, leaves, [text_task(text, tokenizer)])
    assert ours.loss == pytest.approx(theirs, rel=1e-5)


def test_a_file_without_the_prefix_of_the_body_is_read_as_transformers_reads_it(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    _, config, leaves = model_of("gpt2", tmp_path)
    short = {name.removeprefix("transformer."): leaf for name, leaf in leaves.items()}
    assert short.keys() != leaves.keys()
    task, evaluator = text_task(TEXT, tokenizer, window=16, stride=7), Evaluator(workers=1)
    assert evaluator.evaluate(config, short, [task]).loss == evaluator.evaluate(config, leaves, [task]).loss


def test_the_preview_is_finished_without_scoring_a_token_twice(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("llama", tmp_path)
    task, evaluator = text_task(TEXT, tokenizer, window=16, stride=7), Evaluator(workers=1)
    preview, full = evaluator.anytime(config, leaves, [task])
    whole = evaluator.evaluate(config, leaves, [task])
    assert (preview.n, preview.partial, full.n, full.partial) == (22, True, 50, False)
    numpy.testing.assert_allclose(full.tasks[0].losses, whole.tasks[0].losses, rtol=1e-5)
    assert full.tasks[0].examples.tolist() == list(range(50)) and full.tasks[0].metric == "perplexity"


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 17), (15, 16), (14, 50), (49, 50), (22, 36)])
def test_any_part_of_a_text_can_be_scored(start: int, stop: int, tokenizer: TextTokenizer, tmp_path: Path) -> None:
    from merging_core.evaluation.evaluator import Part

    _, config, leaves = model_of("gpt2", tmp_path)
    task, evaluator = text_task(TEXT, tokenizer, window=16, stride=7), Evaluator(workers=1)
    whole = evaluator.evaluate(config, leaves, [task]).tasks[0].losses
    part = evaluator.scores(config, leaves, [Part(task, "validation", start, stop)])[0]
    numpy.testing.assert_allclose(part.losses, whole[start:stop], rtol=1e-5)
    assert part.examples.tolist() == list(range(start, stop))


def test_a_score_says_n_and_an_interval(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("gpt2", tmp_path)
    score = Evaluator(workers=1).evaluate(config, leaves, [text_task(TEXT, tokenizer, window=16, stride=8)]).tasks[0]
    said = score.as_json()
    low, high = score.loss_interval or (0.0, 0.0)
    assert low < score.loss < high and said["loss_interval"] == [low, high]
    assert said["perplexity"] == score.perplexity and said["n"] == 50
    assert said["perplexity_interval"] == [math.exp(low), math.exp(high)]


def test_the_interval_covers_what_it_should_where_neighbours_are_alike() -> None:
    random, hits = numpy.random.default_rng(0), 0
    for _ in range(300):
        steps, values = random.normal(size=1_000), numpy.zeros(1_000)
        for index in range(1, 1_000):
            values[index] = 0.5 * values[index - 1] + steps[index]
        low, high = mean_interval(values.astype(numpy.float32)) or (0.0, 0.0)
        hits += low <= 0.0 <= high
    assert 0.90 <= hits / 300 <= 0.98


@pytest.mark.parametrize(("values", "known"), [([1.0], False), ([1.0, math.inf], False), ([2.0, 2.0, 2.0], True)])
def test_an_interval_needs_two_finite_values(values: list[float], known: bool) -> None:
    found = mean_interval(numpy.array(values, dtype=numpy.float32))
    assert (found is not None) == known
    assert not known or found == (2.0, 2.0)


def test_merges_of_language_models_have_paths_and_are_compared(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    (_, config, one), (_, _, two) = (model_of("gpt2", tmp_path / str(seed), seed) for seed in (1, 2))
    task, evaluator = text_task(TEXT, tokenizer, window=16, stride=8), Evaluator(workers=1)

    def at(t: float) -> dict[str, torch.Tensor]:
        return {name: (1 - t) * leaf + t * two[name] for name, leaf in one.items()}

    path = list(trace(evaluator, config, at, [task], points=5, splits=("validation",), subset="full"))[-1]
    ends = [evaluator.evaluate(config, leaves, [task]) for leaves in (one, two)]
    assert [path.splits["validation"][place].loss for place in (0, -1)] == pytest.approx(
        [end.loss for end in ends], rel=1e-5
    )
    assert barrier(path).height >= 0
    assert compare(*ends).tasks[0].n == 50


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a text has at least two tokens, but 1 came; a loss over no token is not a number"),
        ("owl " * 300_000, "a text has at most 1,048,576 characters, but 1,200,000 came"),
    ],
)
def test_a_text_that_cannot_be_scored_is_refused(text: str, sentence: str, tokenizer: TextTokenizer) -> None:
    with pytest.raises(EvaluationError) as caught:
        text_task(text, tokenizer)
    assert sentence in str(caught.value)


def test_nothing_at_all_is_refused_too(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, around=False)
    with pytest.raises(EvaluationError, match="at least two tokens, but 0 came"):
        text_task("", read_tokenizer(tmp_path))


def test_a_text_with_too_many_tokens_is_cut_and_it_is_said(tokenizer: TextTokenizer) -> None:
    task = text_task(TEXT, tokenizer, most=11)
    assert len(task.splits["validation"]) == 10
    assert task.description == "10 tokens scored, the first 11 of 51, in windows of 256 that begin every 128."


def test_a_tokenizer_that_takes_for_ever_is_given_up(tokenizer: TextTokenizer) -> None:
    waiting = tokenizing.threading.Event()
    with pytest.raises(EvaluationError, match="the text can be cut into tokens, but more than 0.01 seconds came"):
        tokenizing._within(0.01, waiting.wait)
    waiting.set()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"model": {"type": "Evil"}}', b"\xff" * 20])
def test_a_file_that_is_no_tokenizer_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(data)
    with pytest.raises(EvaluationError, match="tokenizer.json: the tokenizer can be read"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vocab_size": 3}, "knows 3 tokens"),
        ({"n_positions": 4}, "reads at most 4 tokens, but windows of 16 came; use shorter windows"),
        ({"n_layer": 10**9}, "n_layer is from 1 to 256, but 1000000000 came"),
        ({"activation_function": "exec"}, "activation_function is one of"),
        ({"n_head": 5}, "heads divide the width, but 12 and 5 came"),
        ({"model_type": "bert"}, "the architecture predicts text, but 'bert' came; known are: gpt2"),
        ({"model_type": "gpt3"}, "did you mean “gpt2”?"),
        ({"n_embd": 24, "n_head": 3}, "the leaf has shape"),
    ],
)
def test_a_configuration_out_of_range_is_refused(
    changes: dict[str, Any], sentence: str, tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    _, config, leaves = model_of("gpt2", tmp_path)
    with pytest.raises(EvaluationError) as caught:
        Evaluator(workers=1).evaluate(config | changes, leaves, [text_task(TEXT, tokenizer, window=16, stride=7)])
    assert sentence in str(caught.value)


def test_rotary_positions_of_unknown_kinds_are_refused(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("llama", tmp_path)
    config["rope_parameters"] = {"rope_type": "evil", "rope_theta": -1}
    with pytest.raises(EvaluationError) as caught:
        Evaluator(workers=1).evaluate(config, leaves, [text_task(TEXT, tokenizer, window=16, stride=7)])
    assert "rotary positions are default, linear, llama3" in str(caught.value) and "rope_theta is a number" in str(
        caught.value
    )


def test_what_a_stranger_adds_to_a_configuration_has_no_effect(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("gpt2", tmp_path)
    added = {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "_attn_implementation_internal": "evil/kernel",
             "trust_remote_code": True, "quantization_config": {"quant_method": "evil"}}  # fmt: skip
    task, evaluator = text_task(TEXT, tokenizer, window=16, stride=7), Evaluator(workers=1)
    assert evaluator.evaluate(config | added, leaves, [task]).loss == evaluator.evaluate(config, leaves, [task]).loss


def test_a_language_model_has_no_classes_to_look_at(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    _, config, leaves = model_of("gpt2", tmp_path)
    task: TextTask = text_task(TEXT, tokenizer, window=16, stride=7)
    evaluator = Evaluator(workers=1)
    with pytest.raises(EvaluationError, match="has classes, but language modelling came"):
        evaluator.answers(config, leaves, parts_of([task], "validation", "full"))
    with pytest.raises(EvaluationError, match="the split is one of the task's, but test came"):
        evaluator.evaluate(config, leaves, [task], "test")
    with pytest.raises(CancelledError):
        evaluator.evaluate(config, leaves, [task], cancelled=lambda: True)
