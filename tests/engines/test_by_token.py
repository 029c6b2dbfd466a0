"""Rows matched by the text of their tokens: an expert's own row stands where the base has that token, and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from merging_core.checkpoints import Catalog, resized
from merging_core.checkpoints.reader import Reading
from merging_core.checkpoints.resized import ResizedCheckpoint
from merging_core.engines import LiveEngine, Plan, make_plan, stream_merge
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import BasinError, PlanError
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import assert_same_bits, write

EMBEDDING, HEAD, BIAS, INNER = "model.embed_tokens.weight", "lm_head.weight", "lm_head.bias", "model.norm.weight"
WIDTH = 4
BASE = ["<pad>", "▁a", "▁b", "c", "d", "e", "f"]
SHUFFLED = ["e", "<new>", "▁b", "<pad>", "f", "▁a", "d", "c", "<more>"]
SHORT = ["<pad>", "▁a", "c", "<own>"]
PADDING = 2
"""Rows behind those of the tokens."""

Tensors = dict[str, torch.Tensor]


def tokenizer(tokens: list[str]) -> dict[str, Any]:
    half = len(tokens) // 2
    vocabulary = {token: row for row, token in enumerate(tokens[:half])}
    added = [{"id": row, "content": token} for row, token in enumerate(tokens) if row >= half]
    return {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": added}


def model(folder: Path, tokens: list[str], seed: int, padding: int = 0) -> tuple[str, Tensors]:
    generator = torch.Generator().manual_seed(seed)
    rows = len(tokens) + padding
    shapes = {EMBEDDING: (rows, WIDTH), HEAD: (rows, WIDTH), BIAS: (rows,), INNER: (5,)}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    config = {"model_type": "llama", "hidden_size": WIDTH, "vocab_size": rows, "tie_word_embeddings": False}
    ref = write(folder, tensors, config)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(tokens)))
    return ref, tensors


@pytest.fixture
def models(tmp_path: Path) -> list[tuple[str, Tensors]]:
    kinds = [(BASE, PADDING), (SHUFFLED, 0), (SHORT, 1)]
    return [model(tmp_path / f"m{index}", tokens, index, more) for index, (tokens, more) in enumerate(kinds)]


def document(models: list[tuple[str, Tensors]], **changes: object) -> dict[str, object]:
    refs = [ref for ref, _ in models]
    given = {"version": 1, "base": refs[0], "models": [{"ref": ref} for ref in refs[1:]], "vocabulary": "by token"}
    return {**given, "method": {"name": "task_arithmetic"}, "lambda": 0.5, **changes}


def planned(catalog: Catalog, models: list[tuple[str, Tensors]], **changes: object) -> Plan:
    return make_plan(parse_recipe(document(models, **changes)), catalog)


def brought(own: torch.Tensor, tokens: list[str], base: torch.Tensor) -> torch.Tensor:
    """Return a model's rows in the base's order, written out token by token."""
    rows = [own[tokens.index(token)] if token in tokens else base[row] for row, token in enumerate(BASE)]
    return torch.stack([*rows, *base[len(BASE) :]]).double()


def reference(models: list[tuple[str, Tensors]], name: str) -> torch.Tensor:
    base = models[0][1][name].double()
    if name == INNER:
        return base + 0.5 * sum(tensors[name].double() - base for _, tensors in models[1:])
    pairs = zip((SHUFFLED, SHORT), models[1:], strict=True)
    return base + 0.5 * sum(brought(own[name], tokens, models[0][1][name]) - base for tokens, (_, own) in pairs)


@pytest.mark.parametrize("chunk", [3, 5, 1 << 17])
def test_rows_stand_where_the_base_has_their_token(
    chunk: int, models: list[tuple[str, Tensors]], catalog: Catalog, tmp_path: Path
) -> None:
    plan = planned(catalog, models)
    merged = load_file(stream_merge(plan, catalog, tmp_path / "out", chunk_elements=chunk) / "model.safetensors")
    assert merged[EMBEDDING].shape == (len(BASE) + PADDING, WIDTH)
    for name in (EMBEDDING, HEAD, BIAS, INNER):
        torch.testing.assert_close(merged[name].double(), reference(models, name), rtol=0, atol=1e-6)
        if name != INNER:
            assert torch.equal(merged[name][len(BASE) :], models[0][1][name][len(BASE) :])


@pytest.mark.parametrize("method", ["ties", "dare_ties", "linear", "iso_c"])
def test_live_and_streaming_give_the_same_bits(
    method: str, models: list[tuple[str, Tensors]], catalog: Catalog
) -> None:
    named = {"base": None} if method == "linear" else {}
    plan = planned(catalog, models, method={"name": method}, **named, **{"lambda": 1.0})
    live = LiveEngine(catalog, "cpu").merge(plan.recipe).weights
    assert_same_bits(live, dict(stream_leaves(plan, chunk_elements=3)))


def test_the_plan_counts_what_is_merged_lacking_without_a_token_and_left_out(
    models: list[tuple[str, Tensors]], catalog: Catalog
) -> None:
    plan = planned(catalog, models)
    shuffled = {"own": 7, "lacking": 0, "unnamed": 2, "left_out": 2}
    short = {"own": 3, "lacking": 4, "unnamed": 2, "left_out": 1}
    wanted = [
        {"model": label, "leaf": leaf, **counts}
        for label, counts in (("file:m1", shuffled), ("file:m2", short))
        for leaf in (BIAS, HEAD, EMBEDDING)
    ]
    told = plan.as_json()
    assert told["tokens"] == wanted
    words = {row["name"]: row["what"] for row in told["resized"]}
    assert words.keys() == {EMBEDDING, HEAD, BIAS}
    assert "7 of file:m1 are merged" in words[HEAD] and "4 whose tokens it lacks are those of file:m0" in words[HEAD]
    assert "2 of its own that file:m0 lacks are left out" in plan.table()


def test_one_tokenizer_in_all_models_changes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    alike = [model(tmp_path / f"n{index}", BASE, index) for index in range(3)]
    plan = planned(catalog, alike)
    assert plan.resized == () and plan.as_json()["tokens"] == []
    assert not any(isinstance(one, ResizedCheckpoint) for one in plan.survey.checkpoints)
    plain = planned(catalog, alike, vocabulary="same")
    assert_same_bits(dict(stream_leaves(plan)), dict(stream_leaves(plain)))


def test_equal_sizes_in_another_order_are_brought_together(catalog: Catalog, tmp_path: Path) -> None:
    pair = [model(tmp_path / f"n{index}", tokens, index) for index, tokens in enumerate([BASE, BASE[::-1]])]
    plan = planned(catalog, pair, **{"lambda": 1.0})
    merged = dict(stream_leaves(plan))
    torch.testing.assert_close(merged[EMBEDDING], pair[1][1][EMBEDDING].flip(0), rtol=0, atol=1e-6)


def test_the_identity_says_which_rows_were_matched_and_holds_whoever_asks_for_it(
    models: list[tuple[str, Tensors]], catalog: Catalog, tmp_path: Path
) -> None:
    plan = planned(catalog, models)
    again = json.loads(plan.canonical)
    assert again["vocabulary"].startswith("by token@")
    assert make_plan(parse_recipe(again), catalog).hash == plan.hash
    (tmp_path / "m1" / "tokenizer.json").write_text(json.dumps(tokenizer([*SHUFFLED[:2][::-1], *SHUFFLED[2:]])))
    assert planned(catalog, models).hash != plan.hash
    with pytest.raises(PlanError, match="the tokenizers bring rows together as the recipe says"):
        make_plan(parse_recipe(again), catalog)


def test_live_looks_anew_where_only_the_policy_changes(models: list[tuple[str, Tensors]], catalog: Catalog) -> None:
    engine = LiveEngine(catalog, "cpu")
    first, second = (
        engine.merge(parse_recipe(document(models, vocabulary=policy))).weights[EMBEDDING]
        for policy in ("base", "by token")
    )
    assert torch.equal(first, models[0][1][EMBEDDING]) and not torch.equal(first, second)


def test_rows_that_are_left_out_may_hold_anything_and_rows_that_are_taken_may_not(
    models: list[tuple[str, Tensors]], catalog: Catalog, tmp_path: Path
) -> None:
    ref, tensors = models[1]
    config = json.loads((tmp_path / "m1" / "config.json").read_text())
    left_out, taken = SHUFFLED.index("<new>"), SHUFFLED.index("e")
    tensors[EMBEDDING][left_out] = float("nan")
    write(tmp_path / "m1", tensors, config)
    assert all(leaf.isfinite().all() for _, leaf in stream_leaves(planned(catalog, models)))
    tensors[EMBEDDING][taken, 1] = float("inf")
    write(tmp_path / "m1", tensors, config)
    with pytest.raises(BasinError, match=f"file:m1: {EMBEDDING}"):
        list(stream_leaves(planned(catalog, models)))


def test_models_whose_tokens_nobody_says_or_nobody_shares_are_refused_together(
    models: list[tuple[str, Tensors]], catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "m1" / "tokenizer.json").unlink()
    (tmp_path / "m2" / "tokenizer.json").write_text(json.dumps(tokenizer(["x", "y"])))
    with pytest.raises(BasinError) as caught:
        planned(catalog, models)
    told = [str(problem) for problem in caught.value.problems]
    assert any(one.startswith("file:m1: the files of a tokenizer") and "common rows" in one for one in told)
    assert any(one.startswith("file:m2: some of its tokens are those of file:m0") for one in told)


def test_a_shuffled_vocabulary_is_read_with_few_bytes_more_than_a_piece_needs(
    models: list[tuple[str, Tensors]], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resized, "_NEAR", 0)
    plan = planned(catalog, models)
    asked: list[int] = []
    read = Reading.read_range

    def counted(self: Reading, name: str, start: int, stop: int, **more: Any) -> torch.Tensor:
        asked.append(stop - start)
        return read(self, name, start, stop, **more)

    monkeypatch.setattr(Reading, "read_range", counted)
    shuffled = plan.survey.experts[0]
    for start in range(0, len(BASE) * WIDTH, 2 * WIDTH):
        asked.clear()
        shuffled.read_range(EMBEDDING, start, start + 2 * WIDTH)
        assert sum(asked) <= 2 * WIDTH
