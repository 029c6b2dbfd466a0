"""The comparison with other implementations, without them: its merges can be made, and a difference is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.agreement import FEW, checkpoints, compared, job, merged
from benchmarks.agreement_cases import CASES, PEERS, Case
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine

ROOT = Path(__file__).parent.parent.parent


def test_every_merge_that_is_compared_can_be_made_here_and_asked_for_there(tmp_path: Path) -> None:
    base, experts = checkpoints(tmp_path, seed=5)
    engine = LiveEngine(Catalog(Zoo(tmp_path, (), {}, {}, {}), allow_files=True), "cpu")
    for place, case in enumerate(CASES):
        asked = job(case, place, tmp_path, base, experts, seed=5)
        assert len(asked["models"]) == len(case.weights) and case.peer in PEERS
        assert all(torch.isfinite(leaf).all() for leaf in merged(engine, case, base, experts).values())


@pytest.mark.parametrize(
    ("compare", "change", "differing"),
    [("all", 0.0, 0), ("all", 1.0, 1), ("survivors", 1.0, 1), ("norm", 1.0, 1), ("all", FEW, 0)],
)
def test_a_difference_is_seen_beside_the_largest_change_of_its_leaf(
    compare: str, change: float, differing: int, tmp_path: Path
) -> None:
    origin, ours = {"w": torch.zeros(3)}, {"w": torch.tensor([2.0, 4.0, 0.0])}
    save_file({"w": torch.tensor([2.0 - change, 4.0, 0.0])}, tmp_path / "0.safetensors")
    case = Case("mergekit", "linear", "linear", compare=compare)  # type: ignore[arg-type]
    found = compared(case, ours, tmp_path / "0.safetensors", origin)
    assert found.differing == differing
    assert found.largest == pytest.approx(change / (5.0 if compare == "norm" else 4.0), rel=1e-3)


def test_a_refusal_of_the_other_side_is_told(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("ValueError: no")
    assert compared(CASES[0], {}, tmp_path / "0.safetensors", {}).words == "ValueError: no"


def test_the_page_has_a_row_for_each_merge() -> None:
    page = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in ("method", "---")] == [case.ours for case in CASES]
