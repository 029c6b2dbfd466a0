"""The layer panel's numbers, against definitions written leaf by leaf in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine
from merging_core.errors import PlanError
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import Family, family, write


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("family"))


def depth_of(name: str) -> str:
    if ".layers." in name:
        return name.split(".layers.")[1].split(".", maxsplit=1)[0]
    return "before" if name.startswith("embeddings") else "after"


def test_norms_density_conflict_and_cosines_are_what_they_say(made: Family, catalog: Catalog) -> None:
    lines = {"kind": "lines", "alpha": 0.5, "beta": 1.0}
    recipe = made.recipe("task_arithmetic", mask={"kind": "magnitude", "density": 0.4}, layer_scaling=lines)
    stats = LiveEngine(catalog, "cpu").layers(recipe)
    names = [name for name, value in made.base_tensors.items() if value.is_floating_point()]
    taus = [{name: (e[name] - made.base_tensors[name]).double() for name in names} for e in made.expert_tensors]
    assert stats.labels == ("before", "0", "1", "2", "after")
    merged = LiveEngine(catalog, "cpu").merge(recipe).weights
    for place, label in enumerate(stats.labels):
        inside = [name for name in names if depth_of(name) == label]
        masked = []
        for model, tau in enumerate(taus):
            squares = sum(float(tau[name].square().sum()) for name in inside)
            assert stats.norms[model][place] == pytest.approx(squares**0.5, rel=1e-6)
            kept = []
            for name in inside:
                values = tau[name].flatten()
                if values.numel():
                    k = max(1, int(0.4 * values.numel() + 1e-9))
                    kept.append(
                        torch.where(values.abs() >= values.abs().sort(descending=True).values[k - 1], values, 0.0)
                    )
            masked.append(torch.cat(kept))
            share = float((masked[-1] != 0).double().mean())
            assert stats.density[model][place] == pytest.approx(share, abs=1e-12)
        signs = torch.stack(masked).sign()
        shared = (signs != 0).sum(0) >= 2
        disagree = shared & (signs.amax(0) > 0) & (signs.amin(0) < 0)
        expected = float(disagree.sum() / shared.sum()) if shared.any() else 0.0
        assert stats.sign_conflict[place] == pytest.approx(expected, abs=1e-7)
        moved = sum(float((merged[name].double() - made.base_tensors[name].double()).square().sum()) for name in inside)
        assert stats.merged_norms[place] == pytest.approx(moved**0.5, rel=1e-5)
    assert stats.factors == pytest.approx([0.3 * factor for factor in (0.5, 0.5, 1.0, 1.5, 0.5)])
    whole = [torch.cat([tau[name].flatten() for name in names]) for tau in taus]
    for i, a in enumerate(whole):
        for j, b in enumerate(whole):
            assert stats.cosines[i][j] == pytest.approx(float(a @ b / (a.norm() * b.norm())), rel=1e-5)
    assert sum(stats.elements) == whole[0].numel()


@pytest.mark.parametrize("method", ["linear", "task_arithmetic"])
def test_merged_norms_are_of_what_is_added_to_the_base(method: str, made: Family, catalog: Catalog) -> None:
    recipe = made.recipe(method, **{"lambda": 0.5})
    engine = LiveEngine(catalog, "cpu")
    merged, stats = engine.merge(recipe).weights, engine.layers(recipe)
    added = sum(
        float((merged[name].double() - value.double()).square().sum())
        for name, value in made.base_tensors.items()
        if value.is_floating_point()
    )
    assert sum(norm**2 for norm in stats.merged_norms) == pytest.approx(added, rel=1e-4)


def test_opposite_experts_conflict_everywhere(tmp_path: Path, catalog: Catalog) -> None:
    base = {"layers.0.w": torch.zeros(4)}
    one, two = {"layers.0.w": torch.tensor([1.0, 2.0, 3.0, 0.0])}, {"layers.0.w": torch.tensor([-1.0, -2.0, 3.0, 5.0])}
    refs = [write(tmp_path / name, tensors, {}) for name, tensors in (("b", base), ("1", one), ("2", two))]
    models = [{"ref": ref} for ref in refs[1:]]
    given = {"version": 1, "base": refs[0], "models": models, "method": {"name": "task_arithmetic"}}
    stats = LiveEngine(catalog, "cpu").layers(parse_recipe(given))
    # Three elements are shared (the fourth is moved by one expert alone); two of them disagree.
    assert stats.sign_conflict == pytest.approx([2 / 3])
    assert stats.density == ((0.75,), (1.0,))
    assert stats.as_json()["labels"] == ["0"]


def test_without_a_base_there_is_nothing_to_compare_with(made: Family, catalog: Catalog) -> None:
    models = [{"ref": ref} for ref in made.experts]
    recipe = parse_recipe({"version": 1, "models": models, "method": {"name": "linear"}})
    with pytest.raises(PlanError, match="name a base"):
        LiveEngine(catalog, "cpu").layers(recipe)
