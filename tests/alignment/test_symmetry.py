"""Symmetries: members keep the outputs, what is tied stays tied, and planted faults are caught."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest
import torch

from merging_core.alignment.certificate import certified
from merging_core.alignment.permuting import after, inverse, permuted
from merging_core.alignment.symmetry import AxisClass, Free, Heads, Site, Symmetry
from merging_core.alignment.templates import by_name
from merging_core.alignment.weight_matching import match_weights
from merging_core.errors import SpaceError
from merging_core.evaluation.architectures import architecture

CONFIGS = {
    "mlp": {"model_type": "basin_mlp", "input_size": 4, "hidden_sizes": [8, 5], "num_labels": 3, "activation": "relu"},
    "clip": {"model_type": "clip_vision_model", "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2,
             "num_attention_heads": 3, "image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_act": "gelu"},
    "vit": {"model_type": "vit", "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2,
            "num_attention_heads": 3, "image_size": 8, "patch_size": 4, "num_channels": 1, "hidden_act": "gelu"},
}  # fmt: skip
TEXTS = {
    "bert": {"model_type": "bert", "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2,
             "num_attention_heads": 3, "vocab_size": 30, "max_position_embeddings": 16, "hidden_act": "gelu"},
    "gpt2": {"model_type": "gpt2", "n_embd": 12, "n_layer": 2, "n_head": 3, "vocab_size": 30, "n_positions": 16},
    "llama": {"model_type": "llama", "hidden_size": 16, "intermediate_size": 10, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 30, "max_position_embeddings": 16,
              "tie_word_embeddings": False},
    "mistral": {"model_type": "mistral", "hidden_size": 16, "intermediate_size": 10, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 30, "max_position_embeddings": 16},
}  # fmt: skip


def drawn(name: str, seed: int = 0) -> tuple[object, dict[str, torch.Tensor], torch.Tensor, dict[str, object]]:
    """Return an architecture, random weights of it, and inputs."""
    chance = torch.Generator().manual_seed(seed)
    if name in CONFIGS:
        config = CONFIGS[name]
        found = architecture(config)
        shape = (4,) if name == "mlp" else (1, 8, 8)
        inputs = torch.randn(5, *shape, generator=chance)
    else:
        config = TEXTS[name]
        asked = "text classes" if name == "bert" else "next tokens"
        found = architecture(config, asked, 3 if name == "bert" else None)  # type: ignore[arg-type]
        ids = torch.randint(3, 30, (5, 7), generator=chance)
        inputs = torch.stack((ids, torch.ones_like(ids), torch.ones_like(ids)), dim=1)
    weights = {leaf: torch.randn(shape, generator=chance) * 0.4 for leaf, shape in found.leaves.items()}
    return found, weights, inputs, config


@pytest.mark.parametrize("name", [*CONFIGS, *TEXTS])
def test_every_template_is_certified_whole_on_its_architecture(name: str) -> None:
    found, weights, inputs, config = drawn(name)
    claimed = by_name(config, {leaf: tuple(value.shape) for leaf, value in weights.items()})
    certificate = certified(claimed, found.forward, weights, inputs)  # type: ignore[attr-defined]
    assert certificate.frozen == () and certificate.change < (1e-6 if config.get("num_key_value_heads") else 1e-12)
    assert len(certificate.symmetry.groups) == {"mlp": 2, "clip": 4}.get(name, 5)


def test_a_vision_transformer_with_classes_of_its_own_is_certified_whole() -> None:
    found, chance = architecture(CONFIGS["vit"], "picture classes", 3), torch.Generator().manual_seed(1)
    weights = {name: torch.randn(shape, generator=chance) * 0.4 for name, shape in found.leaves.items()}
    inputs = torch.randn(5, 1, 8, 8, generator=chance)
    certificate = certified(by_name(CONFIGS["vit"], found.leaves), found.forward, weights, inputs)
    assert certificate.frozen == () and certificate.change < 1e-12 and len(certificate.symmetry.groups) == 5


def test_a_member_is_undone_by_its_inverse_and_moves_every_claimed_leaf() -> None:
    _, weights, _, config = drawn("vit")
    claimed = by_name(config, {leaf: tuple(value.shape) for leaf, value in weights.items()})
    member = claimed.drawn(3)
    moved = permuted(claimed, weights, member)
    back = permuted(claimed, moved, inverse(member))
    assert all(torch.equal(back[name], weights[name]) for name in weights)
    claimed_leaves = {site.leaf for units in claimed.classes for site in units.sites}
    assert {name for name in weights if not torch.equal(moved[name], weights[name])} == claimed_leaves
    twice = permuted(claimed, moved, member)
    assert all(
        torch.equal(leaf, twice[name]) for name, leaf in permuted(claimed, weights, after(member, member)).items()
    )


def changed(claimed: Symmetry, name: str, sites: Callable[[tuple[Site, ...]], list[Site]]) -> Symmetry:
    """Return the symmetry with other places of one class."""
    groups = []
    for group in claimed.groups:
        here = isinstance(group, Free) and group.name == name
        groups.append(Free(AxisClass(name, group.units.size, tuple(sites(group.units.sites)))) if here else group)
    return Symmetry(tuple(groups))


def test_a_flat_permutation_of_heads_is_no_symmetry_and_is_frozen_alone() -> None:
    found, weights, inputs, config = drawn("vit")
    claimed = by_name(config, {leaf: tuple(value.shape) for leaf, value in weights.items()})
    flat = []
    for group in claimed.groups:
        if isinstance(group, Heads) and group.name == "attention 1":
            sites = (*group.queries.sites, *group.keys.sites)
            flat += [Free(AxisClass("flat queries 1", 12, sites))]
            flat += [Free(AxisClass("flat values 1", 12, (*group.values.sites, *group.outputs.sites)))]
        else:
            flat.append(group)
    certificate = certified(Symmetry(tuple(flat)), found.forward, weights, inputs)  # type: ignore[attr-defined]
    assert {one.group for one in certificate.frozen} == {"flat queries 1", "flat values 1"}
    assert all(one.change > 1e-3 for one in certificate.frozen) and certificate.change < 1e-12
    assert (
        certificate.sentence == "certified 4 of 6 groups on 5 inputs; kept as they are: flat queries 1, flat values 1"
    )


def test_a_forgotten_place_and_a_typo_are_caught() -> None:
    found, weights, inputs, config = drawn("vit")
    claimed = by_name(config, {leaf: tuple(value.shape) for leaf, value in weights.items()})
    forgot = changed(claimed, "inner 0", sites=lambda sites: [site for site in sites if "bias" not in site.leaf])
    certificate = certified(forgot, found.forward, weights, inputs)  # type: ignore[attr-defined]
    assert [one.group for one in certificate.frozen] == ["inner 0"]
    typo = changed(claimed, "inner 0", sites=lambda sites: [Site(sites[0].leaf.replace("0", "7"), 0), *sites[1:]])
    with pytest.raises(SpaceError, match="no such leaf"):
        certified(typo, found.forward, weights, inputs)  # type: ignore[attr-defined]
    twice = changed(
        claimed, "inner 1", sites=lambda sites: [Site(site.leaf.replace("1", "0"), site.axis) for site in sites]
    )
    with pytest.raises(SpaceError, match="belongs to one class"):
        certified(twice, found.forward, weights, inputs)  # type: ignore[attr-defined]


def test_members_of_heads_say_what_is_not_tied() -> None:
    parts = [AxisClass(part, size, ()) for part, size in (("q", 8), ("k", 4), ("v", 6), ("o", 12))]
    for rotary in (False, True):
        heads = Heads("attention", 4, 2, *parts, rotary=rotary)
        for seed in range(20):
            member = heads.drawn(numpy.random.default_rng(seed))
            assert heads.problem(member) == ""
            assert heads.problem({**member, "k": member["k"][::-1]}) != ""
        assert "no permutation" in heads.problem({**member, "q": numpy.zeros(8, int)})
        assert heads.problem({**member, "o": numpy.roll(member["o"], 1)}) != ""


@pytest.mark.parametrize("name", ["mlp", "vit", "llama", "mistral", "gpt2"])
def test_a_permuted_copy_is_recovered_exactly(name: str) -> None:
    _, weights, _, config = drawn(name)
    claimed = by_name(config, {leaf: tuple(value.shape) for leaf, value in weights.items()})
    member = claimed.drawn(5)
    copy = permuted(claimed, weights, member)
    *_, found = match_weights(claimed, weights, copy, restarts=6)
    assert all(group.problem(found.member) == "" for group in claimed.groups)
    assert all(torch.equal(leaf, weights[name]) for name, leaf in permuted(claimed, copy, found.member).items())
    assert all((found.member[units] == inverse(member)[units]).all() for units in member)


def test_one_hidden_layer_is_matched_at_its_best_in_one_step() -> None:
    from itertools import permutations

    chance = torch.Generator().manual_seed(1)
    shapes = {"layers.0.weight": (5, 4), "layers.0.bias": (5,), "layers.1.weight": (3, 5), "layers.1.bias": (3,)}
    first, second = ({name: torch.randn(shape, generator=chance) for name, shape in shapes.items()} for _ in range(2))
    claimed = by_name({"model_type": "basin_mlp"}, shapes)
    *_, found = match_weights(claimed, first, second)
    gains = [
        sum(float((first[name].double() * leaf.double()).sum()) for name, leaf in permuted(
            claimed, second, {"hidden 0": numpy.array(order)}).items())
        for order in permutations(range(5))
    ]  # fmt: skip
    constant = float((first["layers.1.bias"].double() * second["layers.1.bias"].double()).sum())
    assert found.gain == pytest.approx(max(gains) - constant, abs=1e-12)


def test_a_matching_only_gains_and_is_the_same_by_its_seed() -> None:
    _, first, _, config = drawn("vit", 1)
    _, second, _, _ = drawn("vit", 2)
    claimed = by_name(config, {leaf: tuple(value.shape) for leaf, value in first.items()})
    runs = [list(match_weights(claimed, first, second, seed=4, restarts=2)) for _ in range(2)]
    gains = [step.gain for step in runs[0]]
    assert gains == sorted(gains) and gains == [step.gain for step in runs[1]]
    names = {site.leaf for units in claimed.classes for site in units.sites}
    moved = permuted(claimed, second, runs[0][-1].member)
    assert gains[-1] == pytest.approx(sum(float((first[n].double() * moved[n].double()).sum()) for n in names))
    assert gains[-1] > sum(float((first[n].double() * second[n].double()).sum()) for n in names)
