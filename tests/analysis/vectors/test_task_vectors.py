"""Task vectors side by side: every number against float64, however leaves are read and wherever one stops."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.vectors import task_vectors
from merging_core.errors import RecipeError
from tests.analysis.vectors.made import SHAPES, Tensors, asked, bench, findings, random, written

TWO = {"rel": 1e-12}


def moved(base: Tensors, seed: int, size: float = 0.1) -> Tensors:
    return {name: value + size * random(seed)[name] for name, value in base.items()}


@pytest.fixture
def refs(tmp_path: Path) -> dict[str, str]:
    base = random(0)
    a, b = moved(base, 1), moved(base, 2)
    b["layers.0.w"][:40] = a["layers.0.w"][:40]
    a["layers.0.w"][10:80] = base["layers.0.w"][10:80]
    half = {name: value.bfloat16() for name, value in moved(base, 3).items()}
    line = {name: 2 * value - base[name] for name, value in a.items()}
    return written(tmp_path, base=base, a=a, b=b, half=half, line=line, same=base)


def vectors(refs: dict[str, str], models: str) -> list[dict[str, np.ndarray]]:
    """Return task vectors as their definition says: float32 weights, one difference, one rounding."""
    from safetensors.torch import load_file

    loaded = {name: load_file(Path(ref.removeprefix("file:")) / "model.safetensors") for name, ref in refs.items()}
    return [
        {leaf: (loaded[name][leaf].float() - loaded["base"][leaf].float()).numpy() for leaf in SHAPES}
        for name in models.split()
    ]


def pair_in_float64(a: np.ndarray, b: np.ndarray, top: float) -> dict[str, float]:
    """Return the numbers of one leaf of a pair, with plain numpy."""
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    count = max(1, math.floor(top * x.size + 1e-9))
    largest = [set(np.argsort(-np.abs(v), kind="stable")[:count]) for v in (x, y)]
    both, either = len(largest[0] & largest[1]), len(largest[0] | largest[1])
    shared = (x != 0) & (y != 0)
    return {
        "cosines": float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)),
        "clashes": float((np.sign(x) != np.sign(y))[shared].mean()),
        "overlaps": both / either,
        "chances": (count * count / x.size) / (2 * count - count * count / x.size),
    }


def test_every_number_of_a_leaf_is_what_float64_gives(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a b", top=0.2), bench())[-1].numbers
    a, b = vectors(refs, "a b")
    rows = {row["leaf"]: row for row in numbers["leaves"]}
    assert list(rows) == list(SHAPES)
    for leaf, row in rows.items():
        expected = pair_in_float64(a[leaf], b[leaf], 0.2)
        for name, value in expected.items():
            assert row[name] == [pytest.approx(value, rel=1e-9)], (leaf, name)
        assert row["norms"] == pytest.approx([np.linalg.norm(v[leaf].astype(np.float64)) for v in (a, b)], **TWO)


def test_the_whole_model_and_each_depth_are_their_leaves_together(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a b", top=0.2), bench())[-1].numbers
    a, b = (np.concatenate([v[leaf].astype(np.float64).ravel() for leaf in SHAPES]) for v in vectors(refs, "a b"))
    whole = numbers["whole"]
    assert whole["cosines"] == [pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-9)]
    shared = (a != 0) & (b != 0)
    assert whole["clashes"] == [pytest.approx((np.sign(a) != np.sign(b))[shared].mean(), rel=1e-12)]
    assert (whole["elements"], whole["of"], whole["sampled"]) == (a.size, a.size, False)
    assert [(row["depth"], row["leaves"], row["elements"]) for row in numbers["depths"]] == [
        ("before", 1, 15),
        ("0", 1, 75_000),
        ("1", 2, 8),
        ("after", 1, 4),
    ]
    assert numbers["partial"] is False and "all 75 027 numbers" in numbers["sentence"]


def test_the_largest_elements_of_the_whole_model_are_chosen_over_all_leaves(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a b", top=0.1, scope="model"), bench())[-1].numbers
    a, b = (np.concatenate([np.abs(v[leaf]).ravel() for leaf in SHAPES]) for v in vectors(refs, "a b"))
    count = a.size // 10
    tops = [set(np.argsort(-v, kind="stable")[:count]) for v in (a, b)]
    assert numbers["whole"]["overlaps"] == [len(tops[0] & tops[1]) / len(tops[0] | tops[1])]


def test_a_zero_vector_has_no_direction_and_no_rank_and_a_parallel_one_the_same(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a line same"), bench())[-1].numbers
    whole = numbers["whole"]
    assert whole["cosines"][0] == pytest.approx(1.0, abs=1e-6) and whole["cosines"][1:] == [None, None]
    assert whole["clashes"] == [0.0, None, None] and whole["norms"][2] == 0.0
    assert whole["overlaps"][0] > 0.99 and whole["overlaps"][1:] == [0.0, 0.0]
    assert [row["effective"][2] for row in numbers["ranks"]] == [0.0, 0.0]
    assert [row["stable"][2] for row in numbers["ranks"]] == [0.0, 0.0]


def test_ranks_are_those_of_numpys_singular_values(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a half"), bench())[-1].numbers
    assert [row["leaf"] for row in numbers["ranks"]] == ["embed.weight", "layers.0.w"]
    for row in numbers["ranks"]:
        for model, vector in enumerate(vectors(refs, "a half")):
            values = np.linalg.svd(vector[row["leaf"]].astype(np.float64), compute_uv=False)
            shares = values[values > 1e-9] / values.sum()
            assert row["effective"][model] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-9)
            assert row["stable"][model] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-9)


def test_what_is_read_from_files_piece_by_piece_has_the_same_bits(
    refs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: Any = findings(asked(refs, "a b half"), bench())[-1].numbers
    monkeypatch.setattr(task_vectors, "_AT_ONCE", 1)
    read = findings(asked(refs, "a b half"), bench(memory_budget=1_000))
    assert json.dumps(read[-1].numbers) == json.dumps(held)
    assert [finding.share for finding in read] == sorted(finding.share for finding in read)


@pytest.mark.parametrize("params", [{}, {"scope": "model"}, {"leaf": 2}], ids=["all", "model", "leaf"])
def test_an_interrupted_answer_goes_on_to_the_same_numbers(
    refs: dict[str, str], monkeypatch: pytest.MonkeyPatch, params: dict[str, object]
) -> None:
    monkeypatch.setattr(task_vectors, "_AT_ONCE", 60_000)
    monkeypatch.setattr(task_vectors, "_AT_LEAST_SAMPLED", 1)
    spec, on, memory = asked(refs, "a b", **params), bench(), Memory()
    whole = findings(spec, on)
    for _ in range(len(whole)):
        finding = next(spec.info.answer(spec, on, memory))
        assert json.dumps(finding.numbers)
        if finding.complete:
            break
    assert finding.complete and json.dumps(finding.numbers) == json.dumps(whole[-1].numbers)


def test_a_large_model_is_answered_from_a_sample_first_and_says_so(
    refs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_vectors, "_AT_LEAST_SAMPLED", 1)
    found = findings(asked(refs, "a b"), bench())
    first: Any = found[0].numbers
    assert 0.0 < found[0].share < 0.01
    last: Any = found[-1].numbers
    assert first["whole"]["sampled"] and first["partial"] and first["leaves"] == []
    assert "a sample of" in first["sentence"] and "sample" not in last["sentence"]
    assert first["whole"]["cosines"][0] == pytest.approx(last["whole"]["cosines"][0], abs=0.1)


def test_a_leaf_from_close_by_shows_blocks_clashes_and_singular_values(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a b", leaf=2), bench())[-1].numbers
    matrix, (a, b) = numbers["matrix"], vectors(refs, "a b")
    assert (numbers["chosen"], matrix["leaf"], matrix["shape"]) == (2, "layers.0.w", [300, 250])
    rows, columns = slice(*matrix["rows"][50:52]), slice(*matrix["columns"][7:9])
    block = a["layers.0.w"][rows, columns].astype(np.float64)
    expected = math.copysign(math.sqrt((block**2).mean()), block.sum()) if block.any() else 0.0
    assert matrix["pictures"][0][50][7] == pytest.approx(expected, rel=1e-3)
    x, y = a["layers.0.w"][rows, columns], b["layers.0.w"][rows, columns]
    shared = (x != 0) & (y != 0)
    clash = (np.sign(x) != np.sign(y))[shared].mean() if shared.any() else 0.0
    assert matrix["clashes"][50][7] == pytest.approx(clash, rel=1e-3)
    values = np.linalg.svd(b["layers.0.w"].astype(np.float64), compute_uv=False)
    assert matrix["values"][1][:3] == pytest.approx(values[:3], rel=1e-3)
    assert len(matrix["pictures"][0]) == 96 and len(matrix["pictures"][0][0]) == 96


def test_a_leaf_of_one_number_can_be_looked_at(refs: dict[str, str]) -> None:
    numbers: Any = findings(asked(refs, "a b", leaf=4), bench())[-1].numbers
    (a, b) = vectors(refs, "a b")
    assert numbers["matrix"]["leaf"] == "layers.1.scale" and numbers["ranks"] == []
    assert numbers["matrix"]["pictures"][0] == [[pytest.approx(float(a["layers.1.scale"][0]), rel=1e-3)]]
    assert numbers["whole"]["cosines"][0] in (pytest.approx(1.0), pytest.approx(-1.0))
    assert numbers["whole"]["overlaps"] == [1.0]


def test_a_leaf_without_numbers_says_nothing_and_ends(tmp_path: Path) -> None:
    base = {"layers.0.w": torch.zeros(2, 2), "layers.1.w": torch.zeros(0, 3)}
    some = {**base, "layers.0.w": torch.eye(2)}
    last = findings(asked(written(tmp_path, base=base, a=some, b=some), "a b", leaf=2), bench())[-1]
    numbers: Any = last.numbers
    assert last.complete and numbers["whole"]["cosines"] == [None]
    json.dumps(numbers, allow_nan=False)


def test_a_leaf_that_is_not_there_is_refused(refs: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match="one of the 5 leaves"):
        findings(asked(refs, "a b", leaf=6), bench())


def test_a_large_matrix_has_its_leading_values_and_no_effective_rank() -> None:
    from merging_core.analysis.vectors import spectra

    generator = torch.Generator().manual_seed(0)
    thin = torch.randn(1_100, 5, generator=generator) @ torch.randn(5, 1_030, generator=generator)
    found = spectra.spectrum_of(thin)
    expected = np.linalg.svd(thin.double().numpy(), compute_uv=False)
    assert not found.whole and spectra.entropy_rank(found) is None
    assert found.values[:5].tolist() == pytest.approx(expected[:5], rel=1e-9)
    assert spectra.stable_rank(found) == pytest.approx((expected**2).sum() / expected[0] ** 2, rel=1e-9)
