"""Interference of pairs: scores against float64, contributions against the merges themselves, honest statistics."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr

from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.vectors.effects import EFFECTS
from merging_core.analysis.vectors.ground import ground_of
from merging_core.analysis.vectors.pair_accuracy import Merges, drawn_merges, entry_of, own_tasks, permuted, relation
from merging_core.analysis.vectors.pair_merges import PairMerges
from merging_core.analysis.vectors.pair_scores import PairScores
from merging_core.errors import RecipeError
from merging_core.evaluation.report import TaskScore, make_score
from tests.analysis.vectors.made import SHAPES, Tensors, asked, bench, findings, random, written


@pytest.fixture
def refs(tmp_path: Path) -> dict[str, str]:
    base = random(0)
    a = {name: value + 0.1 * random(1)[name] for name, value in base.items()}
    b = {name: value + 0.2 * random(2)[name] for name, value in base.items()}
    half = {name: (value + 0.1 * random(3)[name]).bfloat16() for name, value in base.items()}
    turned = {name: 2 * value - a[name] for name, value in base.items()}
    return written(tmp_path, base=base, a=a, b=b, half=half, turned=turned, same=base, also=base)


def flat(refs: dict[str, str], name: str) -> np.ndarray:
    def read(which: str) -> Tensors:
        return load_file(Path(refs[which].removeprefix("file:")) / "model.safetensors")

    base, model = read("base"), read(name)
    return np.concatenate([(model[leaf].float() - base[leaf].float()).numpy().ravel() for leaf in SHAPES])


def rows(refs: dict[str, str], models: str, method: str) -> list[dict[str, float]]:
    numbers: Any = findings(asked(refs, models, "interference"), bench())[-1].numbers
    return numbers["scores"][method]  # type: ignore[no-any-return]


def in_float64(u: np.ndarray, v: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    u, v, first, second = (x.astype(np.float64) for x in (u, v, first, second))
    shared, both = (u != 0) & (v != 0), u + v
    return {
        "cancelled": 1 - np.abs(both).sum() / (np.abs(u).sum() + np.abs(v).sum()),
        "lost": 1 - (both @ both) / (u @ u + v @ v),
        "clash": (np.sign(u) != np.sign(v))[shared].mean(),
        "direction": np.mean([both @ t / np.linalg.norm(both) / np.linalg.norm(t) for t in (first, second)]),
        "kept": ((u != 0).mean() + (v != 0).mean()) / 2,
    }


@pytest.mark.parametrize("pair", ["a b", "a half"])
def test_scores_of_a_pair_are_what_float64_gives(refs: dict[str, str], pair: str) -> None:
    u, v = (flat(refs, name) for name in pair.split())
    assert rows(refs, pair, "sum") == [pytest.approx(in_float64(u, v, u, v), rel=1e-6)]


def test_trimming_and_electing_are_scored_as_they_are_defined(refs: dict[str, str]) -> None:
    u, v = flat(refs, "a"), flat(refs, "b")
    count = u.size // 5
    trimmed = [np.where(np.abs(x) >= np.sort(np.abs(x))[-count], x, 0) for x in (u, v)]
    elected = np.sign(trimmed[0] + trimmed[1])
    agreed = [np.where((np.sign(x) == elected) & (x != 0), x, 0) for x in trimmed]
    many = np.maximum(1, sum((x != 0).astype(int) for x in agreed))
    expected = in_float64(agreed[0] / many, agreed[1] / many, u, v)
    found = rows(refs, "a b", "ties")[0]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9) and found["cancelled"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.name)
def test_contributions_add_up_to_the_merge_that_the_method_makes(refs: dict[str, str], effect: Any) -> None:
    spec, on = asked(refs, "a b", "interference"), bench()
    scores = PairScores(ground_of(spec, on), on, Memory(), spec.seed)
    recipe = scores.recipe(effect, (0, 1))
    for _ in scores.add_up(effect, (0, 1)):
        pass
    merged = on.engine.merge(recipe)
    lambda_ = float(merged.plan.stages.lambda_)  # type: ignore[arg-type]
    base = on.engine.end(refs["base"])[0]
    moved = ((merged.flat - base) / lambda_).double()
    assert scores.sums(effect, (0, 1)).length == pytest.approx(float(moved.norm()), rel=1e-5)
    along = [float(moved @ torch.from_numpy(flat(refs, name)).double()) for name in ("a", "b")]
    sums = scores.sums(effect, (0, 1)).products
    assert (sums[2:, 0] + sums[2:, 1]).tolist() == pytest.approx(along, rel=1e-4)


def test_opposite_vectors_cancel_and_a_zero_vector_interferes_with_nothing(refs: dict[str, str]) -> None:
    opposite = rows(refs, "a turned", "sum")[0]
    assert opposite["cancelled"] == pytest.approx(1.0, abs=1e-4) and opposite["lost"] == pytest.approx(1.0, abs=1e-6)
    alone = rows(refs, "a same", "sum")[0]
    assert (alone["cancelled"], alone["lost"], alone["clash"], alone["direction"]) == (0.0, 0.0, None, None)
    assert rows(refs, "same also", "ties")[0]["cancelled"] is None


def test_a_model_beside_itself_is_refused(refs: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match=r"models\[1\]: each model stands in the list once"):
        findings(asked(refs, "a a", "interference"), bench())


def test_what_does_not_fit_is_looked_at_in_a_sample_and_is_not_measured(refs: dict[str, str]) -> None:
    spec = asked(refs, "a b", "interference")
    numbers: Any = findings(spec, bench(memory_budget=1_000))[-1].numbers
    whole: Any = findings(spec, bench())[-1].numbers
    assert numbers["sampled"] and "a sample of" in numbers["sentence"] and numbers["elements"] < whole["elements"]
    for name in ("cancelled", "clash"):
        assert numbers["scores"]["ties"][0][name] == pytest.approx(whole["scores"]["ties"][0][name], abs=0.05)
        assert numbers["scores"]["sum"][0][name] == pytest.approx(whole["scores"]["sum"][0][name], abs=0.05)


def test_at_equal_strength_every_merge_moves_as_far_as_an_expert(refs: dict[str, str]) -> None:
    spec, on = asked(refs, "a b", "interference", strength="equal"), bench()
    scores = PairScores(ground_of(spec, on), on, Memory(), spec.seed)
    merges, base = PairMerges(spec, scores, [(0, 1)]), on.engine.end(refs["base"])[0]
    usual = np.mean([np.linalg.norm(flat(refs, name)) for name in ("a", "b")])
    for effect in EFFECTS:
        for _ in scores.add_up(effect, (0, 1)):
            pass
        weights = merges._weights(effect, (0, 1))
        moved = torch.cat([weights[leaf].reshape(-1) for leaf in SHAPES]) - base
        assert float(moved.norm()) == pytest.approx(usual, rel=1e-4), effect.name


def score(task: str, correct: list[int], split: str = "validation") -> TaskScore:
    n = len(correct)
    return make_score(task, task, split, n, np.arange(n), np.array(correct, bool), np.zeros(n, np.float32))


def test_a_task_is_a_models_own_where_it_stands_out_most() -> None:
    tables = [[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 1, 0]]]
    scores = [[score(task, row) for task, row in zip("xy", model, strict=True)] for model in tables]
    assert own_tasks(scores) == (0, 1)


def test_a_merge_of_two_experts_of_one_task_is_measured_there_once() -> None:
    merged, experts = [score("x", [1, 1, 0, 0])] * 2, [score("x", [1, 1, 1, 1]), score("x", [1, 1, 1, 0])]
    found: Any = entry_of(merged, experts)
    assert (found["n"], found["accuracy"], found["tasks"]) == (4, 0.5, ["x"])
    assert found["normalised"] == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_spearman_and_p_are_those_of_scipy_and_of_all_changes_of_places() -> None:
    generator = np.random.default_rng(3)
    pairs = list(itertools.combinations(range(5), 2))
    values = generator.normal(size=(1, len(pairs)))
    scores = (values[0] + 0.4 * generator.normal(size=len(pairs))).tolist()
    found: Any = relation(scores, Merges(values, np.repeat(values[None], 7, axis=0)), 0, 5, pairs, 0)
    expected = spearmanr(scores, values[0]).statistic
    assert found["spearman"] == pytest.approx(expected) and found["interval"] == pytest.approx([expected] * 2)
    square = np.zeros((5, 5))
    for (i, j), value in zip(pairs, values[0], strict=True):
        square[i, j] = square[j, i] = value
    others = [
        spearmanr(scores, [square[way[i], way[j]] for i, j in pairs]).statistic
        for way in itertools.permutations(range(5))
    ]
    assert found["p"] == pytest.approx(np.mean([abs(one) >= abs(expected) - 1e-9 for one in others]))
    assert len(permuted(8, list(itertools.combinations(range(8), 2)), 0)) == 1_000


def test_few_models_and_equal_numbers_tell_nothing() -> None:
    pairs = list(itertools.combinations(range(4), 2))
    flat_values = Merges(np.ones((1, 6)), np.ones((5, 1, 6)))
    assert relation([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], flat_values, 0, 4, pairs, 0) is None
    assert relation([0.1, 0.2, 0.3], Merges(np.ones((1, 3)), np.ones((5, 1, 3))), 0, 3, pairs[:3], 0) is None


def test_merges_on_the_same_examples_are_resampled_together() -> None:
    generator = np.random.default_rng(0)
    answers = generator.integers(0, 2, size=(2, 200))
    experts = [score("x", [1] * 200), score("y", [1] * 200)]
    merged = [[[score("x", answers[0].tolist()), score("y", answers[1].tolist())]]] * 2
    found = drawn_merges([(0, 1)], (0, 1), merged, experts, seed=0)
    assert found.values[:, 0].tolist() == pytest.approx([answers.mean()] * 2)
    assert np.array_equal(found.draws[:, 0], found.draws[:, 1])
    spread = found.draws[:, 0, 0].std()
    expected = np.sqrt(sum(row.mean() * (1 - row.mean()) / 200 for row in answers)) / 2
    assert spread == pytest.approx(expected, rel=0.1)
