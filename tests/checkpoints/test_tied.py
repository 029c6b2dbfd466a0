"""Tied leaves: told once whatever files call them, and two where the configuration does not tie them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from transformers import AutoConfig

from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError
from tests.engines.families import FAMILIES

EMBED, HEAD, BLOCK = "model.embed_tokens.weight", "lm_head.weight", "model.layers.0.w"
TIED = {"model_type": "llama", "tie_word_embeddings": True}
MATRIX = torch.arange(6.0).view(3, 2)


def opened(
    folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any], metadata: dict[str, str] | None = None
) -> Checkpoint:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata)
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return open_checkpoint(folder, Ref("file", str(folder)), label="model")


def both(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {EMBED: MATRIX.clone(), HEAD: MATRIX.clone(), BLOCK: torch.zeros(2)} | more


def test_a_head_that_is_the_embedding_is_told_once_and_still_counts_for_the_content(tmp_path: Path) -> None:
    found = opened(tmp_path / "tied", both(), TIED)
    assert list(found.leaves) == [EMBED, BLOCK]
    assert [(twin.stored.name, twin.leaf, twin.alone) for twin in found.twins] == [(HEAD, EMBED, False)]
    assert found.content() == opened(tmp_path / "bare", both(), {}).content()
    assert torch.equal(found.read(EMBED), MATRIX) and torch.equal(found.read(HEAD), MATRIX)
    found.check_twins()


@pytest.mark.parametrize(
    "config", [{}, {"model_type": "llama", "tie_word_embeddings": False}, {"model_type": "llama"}], ids=str
)
def test_a_head_that_is_not_tied_stays_a_leaf_of_its_own(config: dict[str, Any], tmp_path: Path) -> None:
    found = opened(tmp_path / "model", both(), config)
    assert list(found.leaves) == [HEAD, EMBED, BLOCK] and found.twins == ()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gemma"},  # old versions of transformers wrote only a no
        {"model_type": "of nobody's"},
        {"model_type": "llava", "tie_word_embeddings": False, "text_config": {"tie_word_embeddings": True}},
    ],
    ids=str,
)
def test_what_a_configuration_does_not_say_is_what_transformers_takes_for_granted(
    config: dict[str, Any], tmp_path: Path
) -> None:
    assert HEAD not in opened(tmp_path / "model", both(), config).leaves


def test_leaves_that_are_tied_and_differ_are_refused_by_name_when_they_are_read(tmp_path: Path) -> None:
    found = opened(tmp_path / "model", both(**{HEAD: MATRIX + 1}), TIED)
    with pytest.raises(CheckpointError) as refused:
        found.check_twins()
    assert str(refused.value) == (
        "model: lm_head.weight: it holds the numbers of model.embed_tokens.weight, to which config.json ties it, but "
        "other numbers came; write “tie_word_embeddings: false” into it if both are meant."
    )


def test_leaves_of_another_shape_or_dtype_are_not_one(tmp_path: Path) -> None:
    assert HEAD in opened(tmp_path / "shape", both(**{HEAD: torch.zeros(4, 2)}), TIED).leaves
    assert HEAD in opened(tmp_path / "dtype", both(**{HEAD: MATRIX.half()}), TIED).leaves


def test_a_matrix_that_stands_only_under_the_head_s_name_has_the_embedding_s(tmp_path: Path) -> None:
    alone = {HEAD: MATRIX, BLOCK: torch.zeros(2)}
    found = opened(tmp_path / "model", alone, TIED)
    assert list(found.leaves) == [EMBED, BLOCK] and found.twins[0].alone
    assert torch.equal(found.read(EMBED), MATRIX)
    assert found.content() == opened(tmp_path / "bare", alone, {}).content()
    found.check_twins()
    gpt2 = opened(tmp_path / "gpt2", {HEAD: MATRIX, "transformer.h.0.w": torch.zeros(2)}, TIED)
    assert list(gpt2.leaves) == ["transformer.h.0.w", "transformer.wte.weight"]
    noted = opened(tmp_path / "noted", alone, TIED, {"model.shared.weight": HEAD})
    assert list(noted.leaves) == [BLOCK, "model.shared.weight"], "the file says itself what it left out"
    unknown = opened(tmp_path / "unknown", alone, TIED, {"model.words.weight": HEAD})
    assert list(unknown.leaves) == [HEAD, BLOCK]


def test_a_head_beside_an_embedding_of_an_unknown_name_is_left_as_it_is(tmp_path: Path) -> None:
    found = opened(tmp_path / "model", {HEAD: MATRIX, "model.tokens.weight": MATRIX.clone()}, TIED)
    assert HEAD in found.leaves and found.twins == ()


def test_t5_shares_its_embedding_though_its_head_is_its_own(tmp_path: Path) -> None:
    names = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", HEAD)
    config = {"model_type": "t5", "tie_word_embeddings": False}
    found = opened(tmp_path / "model", {name: MATRIX.clone() for name in names}, config)
    assert list(found.leaves) == [HEAD, "shared.weight"]
    without = opened(tmp_path / "without", {name: MATRIX.clone() for name in names[1:]}, config)
    assert list(without.leaves) == [HEAD, "shared.weight"]
    assert [(twin.stored.name, twin.alone) for twin in without.twins] == [(names[1], True), (names[2], False)]


def test_a_checkpoint_without_a_configuration_is_told_by_another_s(tmp_path: Path) -> None:
    bare = opened(tmp_path / "model", both(), {})
    assert list(bare.tied_by(TIED).leaves) == [EMBED, BLOCK]
    assert bare.tied_by({}) is bare
    stated = opened(tmp_path / "stated", both(), {"tie_word_embeddings": False})
    assert stated.tied_by(TIED) is stated


@pytest.mark.parametrize("name", [name for name, example in FAMILIES.items() if example.tied])
def test_every_tie_of_transformers_is_known(name: str, tmp_path: Path) -> None:
    model = FAMILIES[name].build()
    ties = model.get_expanded_tied_weights_keys(all_submodels=True)
    assert ties.keys() == set(FAMILIES[name].tied)
    save_model(model, str(tmp_path / "model.safetensors"))
    model.config.save_pretrained(tmp_path)
    found = open_checkpoint(tmp_path, Ref("file", str(tmp_path)))
    assert set(found.leaves) == set(dict(model.named_parameters())), "safetensors keeps another name than transformers"


def test_defaults_are_those_of_transformers() -> None:
    assert AutoConfig.for_model("gemma").tie_word_embeddings and not AutoConfig.for_model("llama").tie_word_embeddings
