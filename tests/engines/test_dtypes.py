"""Models stored in other number formats than one another, float8 among them: read as float32, counted things copied."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merging_core.checkpoints import Catalog
from merging_core.engines import LiveEngine, make_plan, stream_merge
from merging_core.errors import NonFiniteError
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import write

CONFIG = {"model_type": "llama"}
FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)


def document(refs: list[str]) -> dict[str, object]:
    models = [{"ref": ref} for ref in refs[1:]]
    method = {"name": "task_arithmetic"}
    return {"version": 1, "base": refs[0], "models": models, "method": method, "lambda": 0.5, "dtype": "bfloat16"}


@pytest.mark.parametrize("narrow", FLOAT8, ids=str)
def test_float8_meets_every_other_floating_dtype_and_counts_are_the_bases(
    narrow: torch.dtype, tmp_path: Path, catalog: Catalog
) -> None:
    generator = torch.Generator().manual_seed(1)
    dtypes = (torch.bfloat16, narrow, torch.float16, torch.float64)
    weights = [torch.randn((7, 9), generator=generator).to(dtype) for dtype in dtypes]
    refs = [
        write(tmp_path / str(place), {"w": one, "n": torch.full((2,), place), "b": torch.tensor([place == 0])}, CONFIG)
        for place, one in enumerate(weights)
    ]
    recipe = parse_recipe(document(refs))
    plan = make_plan(recipe, catalog)
    merged = load_file(stream_merge(plan, catalog, tmp_path / "out", chunk_elements=5, workers=2) / "model.safetensors")
    base, *experts = (one.double() for one in weights)
    exact = base + 0.5 * sum(one - base for one in experts)
    assert merged["w"].dtype == torch.bfloat16
    torch.testing.assert_close(merged["w"].double(), exact, rtol=2**-8, atol=1e-6)
    assert torch.equal(merged["n"], torch.zeros(2, dtype=torch.int64)) and merged["b"].item() is True
    shown = LiveEngine(catalog, "cpu").merge(recipe).weights
    assert torch.equal(merged["w"], shown["w"].bfloat16())
    assert "I64 is not averaged; taken from the base" in plan.table()


def test_a_float8_leaf_that_is_not_finite_is_told_by_name(tmp_path: Path, catalog: Catalog) -> None:
    plain = torch.ones(4).to(torch.float8_e5m2)
    damaged = plain.clone()
    damaged.view(torch.uint8)[2] = 0x7C
    refs = [write(tmp_path / name, {"w": one}, CONFIG) for name, one in (("base", plain), ("bad", damaged))]
    with pytest.raises(NonFiniteError, match=r"file:bad: w.*1 infinite"):
        stream_merge(make_plan(parse_recipe(document(refs)), catalog), catalog, tmp_path / "out")
