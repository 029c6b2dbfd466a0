"""Merges of a small part of every model: the very numbers that the whole merge has there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine
from merging_core.engines.samples import Looked, Sample, SampledMerges, one_matrix, scattered
from merging_core.methods.registry import method
from merging_core.recipes.recipe import Recipe
from merging_core.space.depth import depths
from merging_core.space.parameter_space import ParameterSpace, SpaceLeaf
from tests.engines.world import SHAPES, WIDE, Family, bits, family


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"), shapes=WIDE)


def space_of(shapes: dict[str, tuple[int, ...]]) -> ParameterSpace:
    found, leaves, start = depths(shapes), [], 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        leaves.append(SpaceLeaf(name, "F32", shape, start, stop, found[name]))
        start = stop
    return ParameterSpace(tuple(leaves), (), start)


def places_of(sample: Sample, space: ParameterSpace) -> torch.Tensor:
    """Where the numbers of a sample lie in the flat vector."""
    starts = {leaf.name: leaf.start for leaf in space.leaves}
    runs = [torch.arange(*span) + starts[cut.name] for cut in sample.cuts for span in cut.spans]
    return torch.cat(runs)


def look(recipe: Recipe, sample: Sample, engine: LiveEngine) -> Looked:
    return SampledMerges().look(recipe, sample, engine.opened)


def test_runs_lie_evenly_over_the_model_and_none_twice() -> None:
    space = space_of(WIDE)
    places = places_of(scattered(space), space)
    assert len(places) == len(set(places.tolist())) > 7000
    quarters = torch.histc(places.double(), 4, 0, space.size)
    assert quarters.min() > 0.2 * len(places)


def test_a_model_smaller_than_the_sample_is_looked_at_leaf_by_leaf() -> None:
    space = space_of(SHAPES)
    sample = scattered(space)
    assert places_of(sample, space).max() < space.size
    assert all(math.prod(cut.shape) == sum(stop - start for start, stop in cut.spans) for cut in sample.cuts)


@pytest.mark.parametrize("name", ["task_arithmetic", "linear", "magmax", "uniform_soup"])
def test_a_sample_has_the_bits_of_the_whole_merge_where_the_method_works_number_by_number(
    name: str, made: Family, catalog: Catalog
) -> None:
    engine = LiveEngine(catalog, "cpu")
    recipe = made.recipe(name, **{"lambda": 1.0})
    merged = engine.merge(recipe)
    sample = scattered(merged.plan.space)
    places = places_of(sample, merged.plan.space)
    looked = look(recipe, sample, engine)
    base = merged.plan.space.flat(merged.plan.survey.base)[places]
    if method(name).domain == "weight":
        assert torch.equal(looked.merged, torch.where(looked.merged == 0, 0.0, merged.flat[places] - base))
    else:
        assert torch.equal(bits(base + looked.merged), bits(merged.flat[places]))


def test_a_matrix_is_merged_as_in_the_whole_merge(made: Family, catalog: Catalog) -> None:
    engine = LiveEngine(catalog, "cpu")
    recipe = made.recipe("tsv_m")
    merged = engine.merge(recipe)
    space, info = merged.plan.space, method("tsv_m")
    sample = one_matrix(space, lambda leaf: leaf.elements < 100 and info.sees_whole(leaf.name, leaf.shape, {}))
    assert sample is not None
    assert (sample.cuts[0].name, sample.whole) == ("encoder.layers.0.mlp.fc1.weight", True)
    places = places_of(sample, space)
    base = space.flat(merged.plan.survey.base)[places]
    assert torch.equal(bits(base + look(recipe, sample, engine).merged), bits(merged.flat[places]))


def test_of_a_large_matrix_a_corner_is_taken_and_said_to_be_one(made: Family, catalog: Catalog) -> None:
    name = "encoder.layers.1.mlp.fc1.weight"
    space = space_of(WIDE)
    sample = one_matrix(space, lambda leaf: leaf.name == name)
    assert sample is not None
    assert (sample.cuts[0].shape, sample.whole) == ((144, 144), False)
    corner = made.expert_tensors[0][name][:144, :144] - made.base_tensors[name][:144, :144]
    engine = LiveEngine(catalog, "cpu")
    assert torch.equal(look(made.recipe("task_arithmetic"), sample, engine).parts[0], corner.reshape(-1))


def test_one_leaf_alone_keeps_its_depth_among_the_blocks() -> None:
    space = space_of(SHAPES)
    sample = one_matrix(space, lambda leaf: leaf.name == "encoder.layers.1.mlp.fc1.weight")
    assert sample is not None
    names = [cut.name for cut in (*sample.cuts, *sample.witnesses)]
    there = depths(SHAPES)["encoder.layers.1.mlp.fc1.weight"]
    assert depths(names)["encoder.layers.1.mlp.fc1.weight"] == there
    assert sample.elements == 32


def test_what_a_mask_keeps_is_told(made: Family, catalog: Catalog) -> None:
    engine = LiveEngine(catalog, "cpu")
    recipe = made.recipe("ties", {"density": 0.25})
    sample = scattered(engine.plan(recipe).space)
    looked = look(recipe, sample, engine)
    assert looked.survive == pytest.approx(0.25, abs=0.01)
    assert look(made.recipe("linear"), sample, engine).survive is None


def test_without_a_base_the_weights_themselves_are_looked_at(made: Family, catalog: Catalog) -> None:
    engine = LiveEngine(catalog, "cpu")
    recipe = made.recipe("linear", base=None)
    sample = scattered(engine.plan(recipe).space)
    looked = look(recipe, sample, engine)
    assert torch.allclose(looked.parts.double().mean(0), looked.merged.double(), atol=1e-6)
    cut = sample.cuts[0]
    weights = made.expert_tensors[0][cut.name].reshape(-1)
    assert torch.equal(looked.parts[0][: cut.spans[0][1] - cut.spans[0][0]], weights[slice(*cut.spans[0])])


def test_weights_are_in_what_an_expert_would_add_alone(made: Family, catalog: Catalog, tmp_path: Path) -> None:
    engine = LiveEngine(catalog, "cpu")
    once = made.recipe("ties")
    twice = made.recipe("ties", weights=[2.0, 1.0, 0.0])
    sample = scattered(engine.plan(once).space)
    plain, weighted = look(once, sample, engine).parts, look(twice, sample, engine).parts
    assert torch.equal(weighted, plain * torch.tensor([[2.0], [1.0], [0.0]]))
