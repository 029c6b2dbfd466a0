"""Methods that read statistics: float64 references, the same bits everywhere, and sentences where none fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import merging_core.engines.live as live_room
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.learned import LearnedTensors
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine, make_plan
from merging_core.engines.measured import ABOUT, FISHER, GRAM, SIZE, TURNED
from merging_core.engines.ring import Ring
from merging_core.engines.samples import SampledMerges, one_matrix, scattered
from merging_core.engines.streaming import stream_leaves, stream_merge
from merging_core.errors import CheckpointError, PlanError, RecipeError
from merging_core.methods.registry import method as method_of
from merging_core.recipes.changes import with_method, with_models
from merging_core.recipes.differences import differences
from merging_core.recipes.parse import parse_recipe
from merging_core.recipes.recipe import Recipe
from tests.engines.away import AWAY, AwayDriver, Pretending
from tests.engines.statistics import WITHOUT, about, drawn, measured, with_statistics, written
from tests.engines.world import WIDE, Family, assert_same_bits, family, write

KINDS = {"fisher": "fisher", "regmean": "gram"}
WEIGHTS = [1.0, 0.5, 2.0]
MATRIX = "encoder.layers.1.mlp.fc1.weight"


@dataclass(frozen=True)
class World:
    made: Family
    catalog: Catalog
    store: LearnedTensors
    contents: tuple[str, ...]
    refs: Mapping[str, list[str]]

    def recipe(self, method: str, params: Mapping[str, Any] | None = None, **changes: Any) -> Recipe:
        recipe = self.made.recipe(method, params, **{"weights": WEIGHTS, **changes})
        return with_statistics(recipe, self.refs[method])

    def flat(self, recipe: Recipe) -> torch.Tensor:
        return LiveEngine(self.catalog, "cpu").merge(recipe).flat


def world(folder: Path, **options: Any) -> World:
    made = family(folder / "models", **options)
    store = LearnedTensors((folder / "learned",))
    catalog = Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True, learned=store)
    contents = tuple(catalog.open(ref).content() for ref in made.experts)
    refs = {name: measured(store, made, contents, kind) for name, kind in KINDS.items()}
    return World(made, catalog, store, contents, refs)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("small"))


def reference64(small: World, method: str, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Carry out a merge in float64, by the formulas alone."""
    merged = {}
    for name, base in small.made.base_tensors.items():
        if not base.is_floating_point():
            continue
        thetas = [tensors[name].double().numpy() for tensors in small.made.expert_tensors]
        average = sum(w * theta for w, theta in zip(WEIGHTS, thetas, strict=True)) / sum(WEIGHTS)
        known = [drawn(KINDS[method], small.made, place) for place in range(len(thetas))]
        key = (FISHER if method == "fisher" else GRAM) + name
        if key not in known[0]:
            merged[name] = average
        elif method == "fisher":
            sizes = [np.sqrt(sum((one.double().numpy() ** 2).sum() for one in each.values())) for each in known]
            shares = [w / s if params.get("same_size", True) else w for w, s in zip(WEIGHTS, sizes, strict=True)]
            voices = [
                share * np.maximum(each[key].double().numpy(), params.get("floor", 1e-6))
                for share, each in zip(shares, known, strict=True)
            ]
            total = sum(voice * theta for voice, theta in zip(voices, thetas, strict=True))
            whole = sum(voices)
            merged[name] = np.where(whole > 0, total / np.where(whole > 0, whole, 1.0), average)
        else:
            grams = [each[key].double().numpy() for each in known]
            off = params.get("off_diagonal", 0.9)
            grams = [off * gram + (1 - off) * np.diag(np.diag(gram)) for gram in grams]
            left = sum(w * gram for w, gram in zip(WEIGHTS, grams, strict=True))
            right = sum(w * gram @ theta.T for w, gram, theta in zip(WEIGHTS, grams, thetas, strict=True))
            ridge = params.get("ridge", 0.0) * np.diag(np.diag(left))
            merged[name] = np.linalg.solve(left + ridge, right + ridge @ average.T).T
    return merged


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("fisher", {}),
        ("fisher", {"same_size": False, "floor": 0.0}),
        ("fisher", {"floor": 0.5}),
        ("regmean", {}),
        ("regmean", {"off_diagonal": 1.0}),
        ("regmean", {"off_diagonal": 0.0, "ridge": 0.5}),
    ],
)
def test_a_merge_is_the_float64_one_and_the_same_in_both_engines(
    method: str, params: dict[str, Any], small: World
) -> None:
    recipe = small.recipe(method, params)
    live = LiveEngine(small.catalog, "cpu").merge(recipe).weights
    for leaf, expected in reference64(small, method, params).items():
        np.testing.assert_allclose(live[leaf].double().numpy(), expected, rtol=2e-6, atol=2e-6, err_msg=leaf)
    for chunk in (1, 7, 1 << 18):
        assert_same_bits(live, dict(stream_leaves(make_plan(recipe, small.catalog), chunk_elements=chunk)))


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_merge_with_scaling_and_no_say_of_one_expert_is_the_same_in_both_engines(
    method: str, dtype: str, small: World
) -> None:
    given = {"dtype": dtype, "lambda": 0.7, "weights": [1.0, 0.0, [0.5, 2.0]]}
    recipe = small.recipe(method, layer_scaling={"kind": "lines", "alpha_rule": "sum"}, **given)
    live = LiveEngine(small.catalog, "cpu").merge(recipe).weights
    assert_same_bits(live, dict(stream_leaves(make_plan(recipe, small.catalog), chunk_elements=5)))


@pytest.mark.parametrize("method", KINDS)
def test_without_a_base_it_is_the_same_merge(method: str, small: World) -> None:
    recipe = small.recipe(method)
    alone = parse_recipe({**recipe.as_json(), "base": None})
    assert torch.equal(small.flat(recipe), small.flat(alone))


@pytest.mark.parametrize("method", KINDS)
def test_wide_leaves_and_threads_do_not_change_a_bit(method: str, tmp_path: Path) -> None:
    wide = world(tmp_path, shapes=WIDE)
    recipe = wide.recipe(method)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = LiveEngine(wide.catalog, "cpu").merge(recipe).weights
        torch.set_num_threads(2)
        assert_same_bits(alone, LiveEngine(wide.catalog, "cpu").merge(recipe).weights)
        assert_same_bits(alone, dict(stream_leaves(make_plan(recipe, wide.catalog), chunk_elements=100_003)))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("method", KINDS)
def test_a_device_gives_the_bits_of_the_cpu(method: str, small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small.recipe(method)
    plan = make_plan(recipe, small.catalog)
    here = dict(stream_leaves(plan))
    assert_same_bits(here, dict(stream_leaves(plan, lane=Ring(AwayDriver(), 64, workers=1), chunk_elements=64)))
    monkeypatch.setattr(live_room.torch.cuda, "synchronize", lambda device: None)
    with Pretending():
        there = LiveEngine(small.catalog, str(AWAY)).merge(recipe).weights
        assert_same_bits(here, {name: leaf.cpu() for name, leaf in there.items()})


def test_bfloat16_experts_are_merged_in_float32_and_rounded_once(tmp_path: Path) -> None:
    halves = world(tmp_path, dtype=torch.bfloat16)
    for method in KINDS:
        recipe = halves.recipe(method, dtype="bfloat16")
        exact = halves.flat(parse_recipe({**recipe.as_json(), "dtype": "float32"}))
        assert torch.equal(halves.flat(recipe), exact.to(torch.bfloat16).float())


def test_fisher_information_of_zero_everywhere_is_the_average(small: World) -> None:
    for floor in (0.0, 1e-6):
        zero = [
            written(
                small.store,
                about("fisher", content, place),
                {key: torch.zeros_like(value) for key, value in drawn("fisher", small.made, place).items()},
            )
            for place, content in enumerate(small.contents)
        ]
        recipe = with_statistics(small.made.recipe("fisher", {"floor": floor}), zero)
        torch.testing.assert_close(small.flat(recipe), small.flat(small.made.recipe("linear")), rtol=1e-6, atol=1e-7)


def test_inputs_that_are_never_there_leave_the_average(small: World) -> None:
    refs = []
    for place, content in enumerate(small.contents):
        gram = torch.zeros(4, 4)
        gram[0, 0] = float(place + 1)
        refs.append(written(small.store, about("gram", content, place), {GRAM + MATRIX: gram}))
    recipe = with_statistics(small.made.recipe("regmean", {"off_diagonal": 1.0}), refs)
    merged = LiveEngine(small.catalog, "cpu").merge(recipe).weights[MATRIX]
    thetas = torch.stack([tensors[MATRIX] for tensors in small.made.expert_tensors])
    torch.testing.assert_close(merged[:, 1:], thetas.mean(0)[:, 1:])
    first = (thetas[0] + 2 * thetas[1] + 3 * thetas[2])[:, 0] / 6
    torch.testing.assert_close(merged[:, 0], first)


def test_a_turned_leaf_is_solved_from_its_other_side(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, 5, generator=generator) for _ in range(2)]
    inputs = [torch.randn(9, 3, generator=generator) for _ in range(2)]
    grams = [x.T @ x / len(x) for x in inputs]
    found = []
    for form, turn in (("turned", lambda w: w), ("gram", lambda w: w.T.contiguous())):
        folder = tmp_path / form
        refs = [write(folder / str(place), {"h.0.c_fc.weight": turn(w)}) for place, w in enumerate(weights)]
        store = LearnedTensors((folder / "learned",))
        catalog = Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True, learned=store)
        models = [
            {
                "ref": ref,
                "statistics": written(
                    store,
                    about("gram", catalog.open(ref).content()),
                    {(TURNED if form == "turned" else GRAM) + "h.0.c_fc.weight": gram},
                ),
            }
            for ref, gram in zip(refs, grams, strict=True)
        ]
        recipe = parse_recipe({"version": 1, "models": models, "method": {"name": "regmean"}})
        merged = LiveEngine(catalog, "cpu").merge(recipe).weights["h.0.c_fc.weight"]
        found.append(merged if form == "turned" else merged.T)
    torch.testing.assert_close(*found)
    assert not torch.allclose(found[0], (weights[0] + weights[1]) / 2, atol=1e-2)


def test_statistics_are_part_of_the_hash_the_words_and_what_the_live_engine_remembers(small: World) -> None:
    engine, recipe = LiveEngine(small.catalog, "cpu"), small.recipe("fisher")
    turned = with_statistics(recipe, [written(small.store, about("fisher", content, place, seed=1),
                                              drawn("fisher", small.made, 5 - place))
                                      for place, content in enumerate(small.contents)])  # fmt: skip
    first, second = engine.merge(recipe), engine.merge(turned)
    assert first.hash != second.hash
    assert not torch.equal(first.flat, second.flat)
    assert torch.equal(engine.merge(recipe).flat, first.flat)
    assert "statistics" in first.plan.canonical
    told = first.plan.as_json()["statistics"]
    assert told[1] == "Fisher information, exact over the classes, of 8 examples of small/1 (train), seed 0"
    assert "measured" in first.plan.table()
    assert first.plan.live_bytes > engine.plan(small.made.recipe("linear")).live_bytes
    assert any("other statistics" in phrase for phrase in differences(recipe, turned, str))


@pytest.mark.parametrize("method", KINDS)
def test_a_recipe_without_statistics_says_what_to_do(method: str, small: World) -> None:
    for refs in ([None, None, None], [small.refs[method][0], None, None]):
        recipe = with_statistics(small.made.recipe(method), refs)
        with pytest.raises(PlanError) as error:
            make_plan(recipe, small.catalog)
        wheres = [problem.where for problem in error.value.problems]
        assert wheres == (["models[1].statistics", "models[2].statistics"] if refs[0] else ["models"])
        assert "measure it" in str(error.value.problems[-1])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (FISHER + "nothing", torch.ones(2), "of merged leaves"),
        (FISHER + MATRIX, torch.ones(4, 8), "the shape"),
        (FISHER + MATRIX, torch.ones(8, 4, dtype=torch.int32), "floating"),
        (GRAM + MATRIX, torch.ones(8, 8), "the shape"),
        (GRAM + "encoder.layers.0.mlp.fc1.bias", torch.ones(8, 8), "of a matrix"),
        (ABOUT, torch.tensor(list(b"{}"), dtype=torch.uint8), "of what they are"),
        (ABOUT, torch.tensor(list(b"["), dtype=torch.uint8), "of what they are"),
        (SIZE, torch.ones(2), "their size"),
    ],
)
def test_statistics_that_do_not_fit_are_refused_in_a_sentence(
    key: str, value: torch.Tensor, words: str, small: World
) -> None:
    tensors = {ABOUT: about("fisher", small.contents[0]).tensor(), SIZE: torch.ones(1, dtype=torch.float64), key: value}
    refs = [str(small.store.keep(tensors)), *small.refs["fisher"][1:]]
    with pytest.raises(PlanError, match=words):
        make_plan(with_statistics(small.made.recipe("fisher"), refs), small.catalog)


def test_statistics_of_another_kind_or_expert_are_refused(small: World, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="reads the Fisher information"):
        make_plan(with_statistics(small.made.recipe("fisher"), small.refs["regmean"]), small.catalog)
    turned = with_statistics(small.made.recipe("fisher"), small.refs["fisher"][::-1])
    # Contents of files are not known before they are read, so it may be the merge that says it.
    with pytest.raises(PlanError, match="those of another model"):
        LiveEngine(small.catalog, "cpu").merge(turned)
    with pytest.raises(PlanError, match="those of another model"):
        stream_merge(make_plan(turned, small.catalog), small.catalog, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_statistics_that_are_not_here_or_changed_are_said(small: World, tmp_path: Path) -> None:
    missing = with_statistics(small.made.recipe("fisher"), [f"learned:{'0' * 64}", *small.refs["fisher"][1:]])
    with pytest.raises(CheckpointError, match="here"):
        make_plan(missing, small.catalog)
    store = LearnedTensors((tmp_path / "own",))
    refs = measured(store, small.made, small.contents, "fisher")
    catalog = replace(small.catalog, learned=store)
    plan = make_plan(with_statistics(small.made.recipe("fisher"), refs), catalog)
    path = tmp_path / "own" / f"{refs[0].removeprefix('learned:')}.safetensors"
    again = path.read_bytes()
    path.unlink()
    path.write_bytes(again)
    with pytest.raises(CheckpointError, match="files that changed"):
        stream_merge(plan, catalog, tmp_path / "merged")


def test_statistics_stand_only_beside_a_method_that_reads_them(small: World) -> None:
    recipe = small.recipe("fisher")
    with pytest.raises(RecipeError, match="reads no statistics"):
        parse_recipe({**recipe.as_json(), "method": {"name": "linear"}})
    with pytest.raises(RecipeError, match="named by content"):
        with_statistics(small.made.recipe("fisher"), ["zoo:tiny/digits", None, None])
    assert [entry.statistics for entry in with_method(recipe, "linear").models] == [None] * 3
    assert [entry.statistics for entry in with_method(recipe, "fisher").models] == small.refs["fisher"]
    fewer = with_models(recipe, small.made.experts[:2])
    assert [entry.statistics for entry in fewer.models] == small.refs["fisher"][:2]


def test_leaves_of_which_nothing_was_measured_are_averaged(small: World) -> None:
    average = LiveEngine(small.catalog, "cpu").merge(small.made.recipe("linear", weights=WEIGHTS)).weights
    for method in KINDS:
        merged = LiveEngine(small.catalog, "cpu").merge(small.recipe(method)).weights
        assert torch.equal(merged[WITHOUT], average[WITHOUT])
        assert not torch.equal(merged[MATRIX], average[MATRIX])


@pytest.mark.parametrize("method", KINDS)
def test_a_picture_of_a_sample_has_the_numbers_of_the_whole_merge(method: str, small: World) -> None:
    engine, recipe = LiveEngine(small.catalog, "cpu"), small.recipe(method)
    merged, info = engine.merge(recipe), method_of(method)
    space, params = merged.plan.space, recipe.method.params
    whole = one_matrix(space, lambda leaf: info.sees_whole(leaf.name, leaf.shape, params))
    sample = whole or scattered(space)
    looked = SampledMerges().look(recipe, sample, engine.opened)
    starts = {leaf.name: leaf.start for leaf in space.leaves}
    places = torch.cat([torch.arange(*span) + starts[cut.name] for cut in sample.cuts for span in cut.spans])
    base = space.flat(small.catalog.open(small.made.base))[places]
    torch.testing.assert_close(looked.merged, merged.flat[places] - base, rtol=1e-5, atol=1e-6)
    assert float(looked.merged.abs().max()) > 0
