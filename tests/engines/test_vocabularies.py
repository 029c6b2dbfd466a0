"""Models with other numbers of tokens: refused by default, and merged row by row where the recipe says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.errors import PlanError, SpaceError
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import write

EMBEDDING, HEAD, INNER = "model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.up_proj.weight"
SIZES = (6, 9, 7)


@pytest.fixture
def tensors() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    shapes = [{EMBEDDING: (size, 4), HEAD: (size, 4), INNER: (5, 4)} for size in SIZES]
    return [{name: torch.randn(shape, generator=generator) for name, shape in one.items()} for one in shapes]


@pytest.fixture
def refs(tmp_path: Path, tensors: list[dict[str, torch.Tensor]]) -> list[str]:
    config = {"model_type": "llama", "hidden_size": 4, "tie_word_embeddings": False}
    return [
        write(tmp_path / f"m{size}", one, {**config, "vocab_size": size})
        for size, one in zip(SIZES, tensors, strict=True)
    ]


def document(refs: list[str], **changes: object) -> dict[str, object]:
    models = [{"ref": ref} for ref in refs[1:]]
    return {"version": 1, "base": refs[0], "models": models, "method": {"name": "task_arithmetic"}, **changes}


def test_vocabularies_that_differ_are_refused_with_their_sizes_and_what_to_write(
    refs: list[str], catalog: Catalog
) -> None:
    with pytest.raises(SpaceError) as caught:
        make_plan(parse_recipe(document(refs)), catalog)
    told = str(caught.value)
    assert "[6, 4]" in told and "[9, 4]" in told and "vocabulary: common rows" in told


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("policy", ["common rows", "base"])
def test_rows_that_all_have_are_merged_and_the_rest_are_the_bases(
    policy: str,
    order: tuple[int, ...],
    refs: list[str],
    tensors: list[dict[str, torch.Tensor]],
    catalog: Catalog,
    tmp_path: Path,
) -> None:
    refs, tensors = [refs[place] for place in order], [tensors[place] for place in order]
    recipe = parse_recipe(document(refs, vocabulary=policy, **{"lambda": 0.5}))
    plan = make_plan(recipe, catalog)
    common = min(SIZES) if policy == "common rows" else 0
    base, *experts = ({name: leaf.double() for name, leaf in one.items()} for one in tensors)
    out = stream_merge(plan, catalog, tmp_path / "merged", chunk_elements=5, workers=2)
    merged = load_file(out / "model.safetensors")
    shown = LiveEngine(catalog, "cpu").merge(recipe).weights
    for name in (EMBEDDING, HEAD):
        moved = base[name].clone()
        moved[:common] += 0.5 * sum(one[name][:common] - base[name][:common] for one in experts)
        torch.testing.assert_close(merged[name].double(), moved, rtol=0, atol=1e-6)
        assert torch.equal(merged[name][common:], tensors[0][name][common:])
    inner = base[INNER] + 0.5 * sum(one[INNER] - base[INNER] for one in experts)
    torch.testing.assert_close(merged[INNER].double(), inner, rtol=0, atol=1e-6)
    assert all(torch.equal(merged[name], shown[name]) for name in shown)
    told = {row["name"]: row["what"] for row in plan.as_json()["resized"]}
    assert told.keys() == {EMBEDDING, HEAD} and ("the first 6 are merged" in told[HEAD]) == (policy == "common rows")


def test_the_policy_is_part_of_the_merges_identity_and_the_default_is_not(refs: list[str], catalog: Catalog) -> None:
    plans = [make_plan(parse_recipe(document(refs, vocabulary=policy)), catalog) for policy in ("common rows", "base")]
    assert plans[0].hash != plans[1].hash
    assert plans[0].pins == plans[1].pins
    same = document([refs[0], refs[0]])
    plain, said = (make_plan(parse_recipe(one), catalog) for one in (same, {**same, "vocabulary": "same"}))
    assert plain.canonical == said.canonical and "vocabulary" not in plain.canonical


def test_tokenizers_that_give_a_row_to_another_token_stop_a_merge_of_rows(refs: list[str], catalog: Catalog) -> None:
    tokens = list("abcdefghi")

    def tokenizer(ref: str, words: list[str]) -> None:
        says = {"model": {"vocab": {word: place for place, word in enumerate(words)}}}
        Path(ref.removeprefix("file:"), "tokenizer.json").write_text(json.dumps(says))

    for ref, size in zip(refs, SIZES, strict=True):
        tokenizer(ref, tokens[:size])
    recipe = parse_recipe(document(refs, vocabulary="common rows"))
    assert make_plan(recipe, catalog).resized
    tokenizer(refs[2], ["a", "b", "d", "c", *tokens[4:7]])
    with pytest.raises(PlanError, match="2 that belong to others, the first of them row 2") as caught:
        make_plan(recipe, catalog)
    assert "file:m7: tokenizer" in str(caught.value)
    assert make_plan(parse_recipe(document(refs, vocabulary="base")), catalog).resized


def test_leaves_that_hold_no_tokens_are_never_cut(refs: list[str], catalog: Catalog, tmp_path: Path) -> None:
    wide = {EMBEDDING: torch.zeros(6, 4), HEAD: torch.zeros(6, 4), INNER: torch.zeros(8, 4)}
    other = write(tmp_path / "wide", wide, {"model_type": "llama"})
    with pytest.raises(SpaceError) as caught:
        make_plan(parse_recipe(document([refs[0], other], vocabulary="common rows")), catalog)
    assert INNER in str(caught.value) and "vocabulary:" not in str(caught.value)
