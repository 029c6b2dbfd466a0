"""Adapters out of two models: what they hold, what they lose, and that whoever applies them gets what was promised."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merging_core.analysis.difference import difference
from merging_core.analysis.extraction import Extraction, Settings, extract_lora
from merging_core.analysis.peft_config import target_modules
from merging_core.checkpoints.adapted import adapted
from merging_core.checkpoints.adapter_config import ADAPTER_CONFIG, ADAPTER_MODEL
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, PlanError, SpaceError
from tests.analysis.test_difference import checkpoint

Tensors = dict[str, torch.Tensor]
SHAPES = {
    "embed.weight": (11, 24),
    "layers.0.attn.q.weight": (24, 24),
    "layers.0.mlp.up.weight": (40, 24),
    "layers.0.mlp.up.bias": (40,),
    "layers.0.conv.weight": (4, 3, 2),
    "layers.1.attn.q.weight": (24, 24),
    "norm.weight": (24,),
    "scale": (),
}


def dyadic(seed: int, shape: tuple[int, ...], step: float) -> torch.Tensor:
    """Whole multiples of a power of two, whose sums and products float32 holds without rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-8, 9, shape, generator=generator).float() * step


def base_weights() -> Tensors:
    return {name: dyadic(place, shape, 1 / 64) for place, (name, shape) in enumerate(SHAPES.items())}


def tuned(rank: int, changed: tuple[str, ...]) -> Tensors:
    """The base's weights plus a product of this rank in matrices, and plus anything in other leaves."""
    weights = base_weights()
    for place, name in enumerate(changed):
        shape = SHAPES[name]
        if len(shape) == 2 and name != "embed.weight":
            a, b = dyadic(50 + place, (rank, shape[1]), 1 / 8), dyadic(80 + place, (shape[0], rank), 1 / 8)
            weights[name] += b @ a
        else:
            weights[name] += dyadic(20 + place, shape, 1 / 16) + 1 / 32
    return weights


MATRICES = tuple(name for name in SHAPES if "attn" in name or "up.weight" in name)


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return checkpoint(tmp_path / "base", base_weights())


def applied(base: Checkpoint, folder: Path) -> Tensors:
    """W + (α/r)·B·A in float64 by PEFT's names and rules, written again here."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    held = load_file(folder / ADAPTER_MODEL)
    weights = {name: base.read(name).double() for name in base.leaves}
    for key, tensor in held.items():
        name = key.removeprefix("base_model.model.")
        if name.endswith(".lora_A.weight"):
            module = name.removesuffix(".lora_A.weight")
            b = held[key.replace("lora_A", "lora_B")]
            rank, alpha = config["rank_pattern"].get(module, config["r"]), config["alpha_pattern"].get(module)
            assert tensor.shape[0] == b.shape[1] == rank
            product = b.double() @ tensor.double() * ((alpha or config["lora_alpha"]) / rank)
            weights[f"{module}.weight"] += product.T if config["fan_in_fan_out"] else product
        elif ".lora_B." not in name:
            weights[name.replace(".base_layer.", ".")] = tensor.double()
    return weights


def error(base: Checkpoint, expert: Checkpoint, found: Tensors, names: tuple[str, ...] = tuple(SHAPES)) -> float:
    """‖E − found‖/‖E − B‖."""
    lost = sum(float((expert.read(name).double() - found[name]).square().sum()) for name in names)
    whole = sum(float((expert.read(name).double() - base.read(name).double()).square().sum()) for name in names)
    return math.sqrt(lost / whole)


def test_a_difference_of_low_rank_is_recovered_to_rounding(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(3, MATRICES))
    made = extract_lora(base, expert, tmp_path / "out", Settings(energy=1.0), workers=1)
    assert {leaf.name: leaf.rank for leaf in made.extracted} == dict.fromkeys(MATRICES, 3)
    assert made.error < 1e-6
    assert error(base, expert, applied(base, tmp_path / "out")) < 1e-6
    assert (made.rest, made.unchanged, made.left_out) == ((), 5, 0.0)
    config = json.loads((tmp_path / "out" / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 3, 3)
    assert (config["rank_pattern"], config["modules_to_save"], config["bias"]) == ({}, None, "none")
    assert config["target_modules"] == ["q", "up"]


def test_the_error_that_is_said_is_that_of_the_adapter_as_it_is_written(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(20, tuple(SHAPES)))
    for number, settings in enumerate((Settings(rank=2), Settings(energy=0.7), Settings(rank=5, dtype="BF16"))):
        out = tmp_path / str(number)
        made = extract_lora(base, expert, out, settings, workers=2)
        found = applied(base, out)
        assert made.error == pytest.approx(error(base, expert, found), rel=1e-9)
        for leaf in made.extracted:
            assert leaf.error == pytest.approx(error(base, expert, found, (leaf.name,)), rel=1e-6)
            best = torch.linalg.svdvals(expert.read(leaf.name).double() - base.read(leaf.name).double()).square()
            assert leaf.energy == pytest.approx(float(best[: leaf.rank].sum() / best.sum()), rel=1e-6)
            if settings.rank is None:
                assert leaf.energy >= 0.7 > float(best[: leaf.rank - 1].sum() / best.sum())
            else:
                assert leaf.rank == settings.rank


def test_what_is_no_matrix_is_left_out_and_told_or_held_whole(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(3, tuple(SHAPES)))
    out = extract_lora(base, expert, tmp_path / "out", Settings(rank=24), workers=1)
    assert {leaf.name: leaf.reason for leaf in out.rest} == {
        "embed.weight": "a table of embeddings",
        "layers.0.mlp.up.bias": "a vector",
        "layers.0.conv.weight": "a tensor of 3 dimensions",
        "norm.weight": "a vector",
        "scale": "a single number",
    }
    assert not any(leaf.saved for leaf in out.rest)
    assert out.left_out == pytest.approx(out.error**2, rel=1e-6)
    kept = extract_lora(base, expert, tmp_path / "kept", Settings(rank=24, others="save"), workers=1)
    assert [leaf.name for leaf in kept.rest if not leaf.saved] == ["scale"]
    found = applied(base, tmp_path / "kept")
    for name in ("embed.weight", "layers.0.mlp.up.bias", "layers.0.conv.weight", "norm.weight"):
        assert torch.equal(found[name], expert.read(name).double())
    config = json.loads((tmp_path / "kept" / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert config["modules_to_save"] == ["embed", "layers.0.conv", "norm"]
    assert config["bias"] == "lora_only"


def read_again(base: Checkpoint, folder: Path) -> Tensors:
    """The leaves of the base with the adapter, as an expert of a recipe has them."""
    whole = adapted(base, open_checkpoint(folder, Ref("file", str(folder)), label=folder.name))
    return {name: whole.read(name).double() for name in whole.leaves}


@pytest.mark.filterwarnings("ignore")  # of two packages about one another
def test_peft_and_recipes_add_it_as_it_was_meant(base: Checkpoint, tmp_path: Path) -> None:
    import peft  # noqa: PLC0415

    def model(weights: Tensors) -> torch.nn.Module:
        layers = [torch.nn.ModuleDict({"attn": torch.nn.ModuleDict({"q": torch.nn.Linear(24, 24, bias=False)})})]
        layers.append(copy.deepcopy(layers[0]))
        layers[0]["mlp"] = torch.nn.ModuleDict({"up": torch.nn.Linear(24, 40)})
        layers[0]["conv"] = torch.nn.Conv1d(3, 4, 2, bias=False)
        parts = {"layers": torch.nn.ModuleList(layers), "embed": torch.nn.Embedding(11, 24)}
        made = torch.nn.ModuleDict({**parts, "norm": torch.nn.RMSNorm(24)})
        made.register_parameter("scale", torch.nn.Parameter(torch.zeros(())))
        made.load_state_dict(weights)
        return made

    expert = checkpoint(tmp_path / "expert", tuned(20, tuple(SHAPES)))
    for number, settings in enumerate((Settings(energy=0.7), Settings(rank=24, others="save"))):
        out = tmp_path / str(number)
        made = extract_lora(base, expert, out, settings, workers=1)
        meant = applied(base, out)
        by_peft = peft.PeftModel.from_pretrained(model(base_weights()), str(out)).merge_and_unload().state_dict()
        for found in (read_again(base, out), {name: leaf.double() for name, leaf in by_peft.items()}):
            assert found.keys() == meant.keys()
            for name, leaf in meant.items():
                torch.testing.assert_close(found[name], leaf, rtol=0, atol=1e-6)
            assert error(base, expert, found) == pytest.approx(made.error, abs=1e-6)


def test_an_adapter_can_be_looked_at_and_made_anew_on_its_base(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(3, MATRICES))
    extract_lora(base, expert, tmp_path / "first", workers=1)
    first = open_checkpoint(tmp_path / "first", Ref("file", "first"), label="first")
    made = extract_lora(base, first, tmp_path / "second", Settings(rank=2), workers=1)
    assert {leaf.rank for leaf in made.extracted} == {2}
    found = difference(first, expert, base, workers=1)
    assert found.whole.relative == pytest.approx(0, abs=0.2)
    assert [leaf.name for leaf in found.most_different(9)]
    with pytest.raises(CheckpointError, match="first: a LoRA adapter is looked at on its base"):
        difference(base, first)
    with pytest.raises(CheckpointError, match="first: the base is a whole model"):
        extract_lora(first, expert, tmp_path / "third")


def test_only_the_leaves_that_are_asked_for_are_taken(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(3, MATRICES))
    made = extract_lora(base, expert, tmp_path / "out", Settings(filters=("layers.1", "up")), workers=1)
    assert [leaf.name for leaf in made.extracted] == ["layers.0.mlp.up.weight", "layers.1.attn.q.weight"]
    assert [(leaf.name, leaf.reason) for leaf in made.rest] == [("layers.0.attn.q.weight", "not asked for")]
    config = json.loads((tmp_path / "out" / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert config["target_modules"] == ["layers.1.attn.q", "up"]


def test_layers_that_hold_their_weight_turned_get_turned_factors(tmp_path: Path) -> None:
    config: dict[str, object] = {"model_type": "gpt2"}
    name = "h.0.mlp.c_fc.weight"
    weights = {name: dyadic(0, (6, 10), 1 / 64), "wte.weight": dyadic(1, (9, 6), 1 / 64)}
    moved = {**weights, name: weights[name] + dyadic(2, (6, 2), 1 / 8) @ dyadic(3, (2, 10), 1 / 8)}
    base, expert = checkpoint(tmp_path / "b", weights, config), checkpoint(tmp_path / "e", moved, config)
    made = extract_lora(base, expert, tmp_path / "out", workers=1)
    assert [leaf.rank for leaf in made.extracted] == [2]
    held = load_file(tmp_path / "out" / ADAPTER_MODEL)
    assert held["base_model.model.h.0.mlp.c_fc.lora_A.weight"].shape == (2, 6)
    assert error(base, expert, applied(base, tmp_path / "out"), (name,)) < 1e-6


def test_the_same_bytes_come_out_for_any_number_of_threads(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(20, tuple(SHAPES)))
    for workers in (1, 3):
        extract_lora(base, expert, tmp_path / str(workers), Settings(rank=3, others="save"), workers=workers)
    for file in (ADAPTER_MODEL, ADAPTER_CONFIG):
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "3" / file).read_bytes()


def test_what_cannot_be_made_is_refused_and_leaves_nothing(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "expert", tuned(3, ("norm.weight", "layers.1.attn.q.weight")))

    def refused(other: Checkpoint, settings: Settings, folder: str = "out") -> Extraction:
        return extract_lora(base, other, tmp_path / folder, settings, workers=1)

    with pytest.raises(PlanError, match=r"--leaves: .*“atn” came.*\n.*“nrm” came"):
        refused(expert, Settings(filters=("atn", "nrm")))
    with pytest.raises(PlanError, match="some leaf that is asked for is the matrix of a linear layer"):
        refused(expert, Settings(filters=("norm",)))
    with pytest.raises(PlanError, match="some matrix of expert differs from base"):
        refused(expert, Settings(filters=("layers.0",)))
    with pytest.raises(PlanError, match="the output folder is new or empty"):
        refused(expert, Settings(), "base")
    huge = base_weights() | {"layers.1.attn.q.weight": torch.full((24, 24), 1e200, dtype=torch.float64)}
    with pytest.raises(PlanError, match=r"huge: layers\.1\.attn\.q\.weight: .* leave the leaf out"):
        refused(checkpoint(tmp_path / "huge", huge), Settings())
    weights = base_weights()
    del weights["norm.weight"]
    with pytest.raises(SpaceError, match=r"norm\.weight"):
        refused(checkpoint(tmp_path / "other", weights), Settings())
    assert not (tmp_path / "out").exists()


def test_targets_are_named_so_that_peft_takes_these_layers_and_no_other() -> None:
    modules = {"head", "aside.head", "layers.0", "layers.0.q", "layers.0.0", "x.1"}
    assert target_modules({"layers.0.q"}, modules) == ["q"]
    assert target_modules({"layers.0.0"}, modules) == ["layers.0.0"]
    assert target_modules({"head"}, modules) == "(?:head)"
    assert target_modules({"head", "aside.head"}, modules) == ["head"]
