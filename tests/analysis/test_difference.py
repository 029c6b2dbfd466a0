"""How two models differ: every number against float64, whatever the cuts; what cannot be compared is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from merging_core.analysis import sums
from merging_core.analysis.difference import difference
from merging_core.analysis.sums import Sums
from merging_core.checkpoints.reader import Checkpoint, open_checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import NonFiniteError, SpaceError

Tensors = dict[str, torch.Tensor]
CONFIG = {"model_type": "made_up", "hidden_size": 8}


def checkpoint(folder: Path, weights: Tensors, config: dict[str, object] = CONFIG) -> Checkpoint:
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return open_checkpoint(folder, Ref("file", str(folder)), label=folder.name)


def weights(seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embed.weight": (5, 3), "layers.0.w": (300, 250), "layers.1.w": (7,), "norm.weight": (4,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def trio(folder: Path) -> tuple[Checkpoint, Checkpoint, Checkpoint]:
    """Two models and what they came from; of another dtype each, with equal and with unchanged elements."""
    base, a, b = weights(0), weights(1), weights(2)
    b["layers.0.w"][:40] = a["layers.0.w"][:40]
    a["layers.0.w"][10:80] = base["layers.0.w"][10:80]
    b["norm.weight"] = a["norm.weight"].clone()
    a["layers.1.w"] = a["layers.1.w"].bfloat16()
    b["embed.weight"] = b["embed.weight"].double() / 3
    named = (("a", a), ("b", b), ("base", base))
    return tuple(checkpoint(folder / name, tensors) for name, tensors in named)  # type: ignore[return-value]


def flat64(model: Checkpoint, names: list[str]) -> np.ndarray:
    return np.concatenate([model.read(name).double().numpy().ravel() for name in names])


def assert_as_in_float64(found: Sums, a: np.ndarray, b: np.ndarray, base: np.ndarray) -> None:
    def cosine(x: np.ndarray, y: np.ndarray) -> float:
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    close = {"rel": 1e-12}
    assert found.elements == a.size
    assert found.norms == pytest.approx((np.linalg.norm(a), np.linalg.norm(b)), **close)
    assert found.norm == pytest.approx(np.linalg.norm(a - b), **close)
    assert found.relative == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a), **close)
    assert found.cosine == pytest.approx(cosine(a, b), **close)
    assert found.largest == np.abs(a - b).max()
    assert found.equal == (a == b).sum()
    first, second = a - base, b - base
    both = (first != 0) & (second != 0)
    assert found.task is not None
    assert found.task.norms == pytest.approx((np.linalg.norm(first), np.linalg.norm(second)), **close)
    assert found.task.cosine == pytest.approx(cosine(first, second), **close)
    assert found.task.shared == both.sum()
    assert found.task.conflicting == (both & (np.sign(first) != np.sign(second))).sum()


def test_every_number_is_that_of_float64_by_leaf_by_depth_and_over_all(tmp_path: Path) -> None:
    a, b, base = trio(tmp_path)
    found = difference(a, b, base, workers=2)
    names = list(a.leaves)
    assert_as_in_float64(found.whole, *(flat64(model, names) for model in (a, b, base)))
    for leaf in found.leaves:
        assert_as_in_float64(leaf.sums, *(flat64(model, [leaf.name]) for model in (a, b, base)))
    assert [(row.label, row.leaves) for row in found.depths] == [("before", 1), ("0", 1), ("1", 1), ("after", 1)]
    for row, name in zip(found.depths, names, strict=True):
        assert row.sums == next(leaf.sums for leaf in found.leaves if leaf.name == name)
    assert found.leaves[-1].sums.relative == 0.0
    assert [leaf.name for leaf in found.most_different(9)][-1] != "norm.weight"
    assert len(found.most_different(9)) == 3


def test_neither_threads_nor_pieces_are_in_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, base = trio(tmp_path)
    once = difference(a, b, base, workers=1)
    assert difference(a, b, base, workers=3) == once
    monkeypatch.setattr(sums, "_BLOCKS_READ", 1)
    assert difference(a, b, base, workers=2) == once


def test_what_only_one_has_or_has_otherwise_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    ours, theirs, origin = weights(0), weights(1), weights(2)
    ours |= {"mine": torch.zeros(1), "ids": torch.arange(6), "flag": torch.tensor([True, False])}
    theirs |= {"yours": torch.zeros(1), "ids": torch.tensor([0, 1, 2, 9, 4, 5]), "flag": torch.tensor([1.0, 0.0])}
    theirs["embed.weight"] = torch.zeros(6, 3)
    origin["norm.weight"] = torch.zeros(9)
    del origin["layers.1.w"]
    a, b = checkpoint(tmp_path / "a", ours), checkpoint(tmp_path / "b", theirs, {**CONFIG, "hidden_size": 9})
    found = difference(a, b, checkpoint(tmp_path / "o", origin), workers=1)
    assert [leaf.name for leaf in found.leaves] == ["layers.0.w", "layers.1.w", "norm.weight"]
    assert [(leaf.name, leaf.elements, leaf.equal) for leaf in found.counted] == [("ids", 6, 5)]
    assert {leaf.name: leaf.reason for leaf in found.unshared} == {
        "embed.weight": "[5, 3] in a, [6, 3] in b",
        "flag": "BOOL in a, F32 in b",
        "mine": "only in a",
        "yours": "only in b",
    }
    assert {leaf.name: leaf.reason for leaf in found.without_base} == {
        "layers.1.w": "not in o",
        "norm.weight": "[9] in o",
    }
    assert [leaf.sums.task is None for leaf in found.leaves] == [False, True, True]
    assert found.whole.task == found.leaves[0].sums.task
    assert len(found.notes) == 1
    assert "hidden_size" in found.notes[0]


def test_models_that_share_nothing_and_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    a = checkpoint(tmp_path / "a", {"w": torch.ones(2)})
    with pytest.raises(SpaceError, match="none came; compare models of one architecture"):
        difference(a, checkpoint(tmp_path / "b", {"v": torch.ones(2)}))
    with pytest.raises(NonFiniteError, match="c: w"):
        difference(a, checkpoint(tmp_path / "c", {"w": torch.tensor([1.0, math.nan])}))


def test_a_leaf_that_is_zero_has_no_direction_and_an_empty_one_no_element(tmp_path: Path) -> None:
    a = checkpoint(tmp_path / "a", {"w": torch.zeros(3), "empty": torch.zeros(0, 4), "scalar": torch.tensor(2.0)})
    b = checkpoint(tmp_path / "b", {"w": torch.ones(3), "empty": torch.zeros(0, 4), "scalar": torch.tensor(-2.0)})
    found = difference(a, b, a)
    numbers = {leaf["leaf"]: leaf for leaf in found.as_json()["leaves"]}
    assert (numbers["w"]["relative"], numbers["w"]["cosine"], numbers["w"]["largest"]) == (None, None, 1.0)
    assert (numbers["empty"]["elements"], numbers["empty"]["equal_share"]) == (0, 1.0)
    assert (numbers["scalar"]["relative"], numbers["scalar"]["cosine"]) == (2.0, -1.0)
    assert numbers["w"]["task"]["sign_conflict"] == 0.0
    assert [leaf.name for leaf in found.most_different(2)] == ["w", "scalar"]


def test_names_with_a_module_in_front_are_those_without_it(tmp_path: Path) -> None:
    a = checkpoint(tmp_path / "a", weights(1))
    inside = {f"model.{name}": values for name, values in weights(2).items()}
    b, base = checkpoint(tmp_path / "b", inside), checkpoint(tmp_path / "base", inside)
    found = difference(a, b, base)
    assert found.unshared == () and found.without_base == ()
    assert found.whole == difference(a, checkpoint(tmp_path / "bare", weights(2)), base).whole
