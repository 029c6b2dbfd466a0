"""Pieces of models on the disk: what was found finite once is not looked at again, and nothing else is let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.reader import Reading
from merging_core.engines import make_plan
from merging_core.engines.pieces import Tile, reading
from merging_core.errors import NonFiniteError
from merging_core.native import loops
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import write


def test_a_piece_that_was_read_vouches_for_itself_alone(tmp_path: Path, catalog: Catalog) -> None:
    weights = torch.zeros(20)
    base = write(tmp_path / "base", {"w": weights})
    weights[17] = float("nan")
    expert = write(tmp_path / "expert", {"w": weights})
    method = {"name": "task_arithmetic"}
    plan = make_plan(parse_recipe({"version": 1, "base": base, "models": [{"ref": expert}], "method": method}), catalog)
    with reading(plan, 8, 1, None) as pieces:
        for good in (Tile(0, 0, 8), Tile(0, 8, 16), Tile(0, 0, 16), Tile(0, 3, 12)):
            assert pieces.vector(0, good, pieces.origin(good)).numel() == good.stop - good.start
        for bad in (Tile(0, 0, 20), Tile(0, 16, 20), Tile(0, 17, 18), Tile(0, 8, 20)):
            with pytest.raises(NonFiniteError, match="1 NaN"):
                pieces.vector(0, bad, pieces.origin(bad))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_piece_is_read_from_its_file_once_whatever_widens_it(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, compiled: bool
) -> None:
    base, expert = (write(tmp_path / name, {"w": torch.arange(20).to(dtype)}) for name in ("base", "expert"))
    method = {"name": "task_arithmetic"}
    plan = make_plan(parse_recipe({"version": 1, "base": base, "models": [{"ref": expert}], "method": method}), catalog)
    if not compiled:
        monkeypatch.setattr(loops, "_loaded", lambda: None)
    read, reads = Reading.read_range, list[str]()

    def counted(reading: Reading, name: str, *span: int, **how: Any) -> torch.Tensor:
        reads.append(reading.label)
        return read(reading, name, *span, **how)

    monkeypatch.setattr(Reading, "read_range", counted)
    with reading(plan, 8, 1, None) as pieces:
        tile = Tile(0, 8, 16)
        assert pieces.vector(0, tile, pieces.origin(tile)).tolist() == [0.0] * 8
    assert len(reads) == 2 == len(set(reads))
