"""Pieces on a device and back: the bits of the CPU, in order, through a bounded ring, with whatever memory there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import devices, make_plan, stream_merge
from merging_core.engines.devices import device_bytes, lane_for, pays, piece_for
from merging_core.engines.lanes import CORES, LEAST_PART, Tile, in_parts, with_less
from merging_core.engines.pricing import STREAMED_PIECE
from merging_core.engines.ring import BUFFERS, Plain, Ring
from merging_core.engines.streaming import _identity, stream_leaves
from merging_core.errors import CancelledError, NonFiniteError, PlanError
from merging_core.masks.registry import masks
from merging_core.methods.registry import methods
from merging_core.recipes.parse import parse_recipe
from tests.engines.away import AWAY, Away, AwayDriver
from tests.engines.choices import few_steps, weights_for
from tests.engines.world import WIDE, Family, assert_same_bits, family, write


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("small"), dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return family(tmp_path_factory.mktemp("wide"), shapes=WIDE)


CHANGES: dict[str, dict[str, Any]] = {
    **{info.name: {"method": info.name} for info in methods() if not info.measures},
    **{f"mask {info.name}": {"method": "task_arithmetic", "mask": {"kind": info.name}} for info in masks()},
    "filters": {"method": "model_stock", "params": {"granularity": "filter"}},
    "norms": {"method": "ties", "layer_scaling": {"kind": "lines", "alpha_rule": "sum"}},
    "each": {"method": "ties", "layer_scaling": {"kind": "lines", "applies_to": "each"}},
    "balanced": {"method": "dare_linear", "params": {"rescale": "norm"}},
    "at random": {"method": "swalp", "params": {"rounding": "random"}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_device_gives_the_bits_of_the_cpu_and_is_never_taken_for_it(
    change: str, small: Family, catalog: Catalog
) -> None:
    found = dict(CHANGES[change])
    info = next(one for one in methods() if one.name == found["method"])
    params = {**found.pop("params", {}), **few_steps(info, {})}
    experts = small.experts[: info.models[1] or len(small.experts)]
    made = Family(small.base, experts, small.base_tensors, small.expert_tensors)
    weights = list(weights_for(info)[: len(experts)])
    plan = make_plan(made.recipe(found.pop("method"), params, weights=weights, **found), catalog)
    there = dict(stream_leaves(plan, lane=Ring(AwayDriver(), 64, workers=1), chunk_elements=64))
    assert not any(isinstance(leaf, Away) for leaf in there.values())
    assert_same_bits(dict(stream_leaves(plan, workers=1)), there)


def test_a_device_that_is_not_there_is_not_mistaken_for_the_cpu() -> None:
    there, _ = AwayDriver().send(torch.ones(3))
    assert there.device == AWAY and (there + there).device == AWAY
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


@pytest.mark.parametrize("method", ["linear", "ties"])
def test_a_folder_has_the_same_bytes_through_a_ring(
    method: str, wide: Family, tmp_path: Path, catalog: Catalog
) -> None:
    plan = make_plan(wide.recipe(method, dtype="bfloat16"), catalog)
    driver = AwayDriver()
    lane = Ring(driver, 10_000, workers=3)
    stream_merge(plan, catalog, tmp_path / "away", lane=lane)
    stream_merge(plan, catalog, tmp_path / "here")
    assert_same_files(tmp_path / "away", tmp_path / "here")
    # Nothing is used again before it was sent, and nothing is held but the ring of each worker.
    assert driver.log.count("memory") <= BUFFERS * 4 < driver.log.count("send")
    assert driver.log.count("fetch") == driver.log.count("fetched")
    assert driver.log.index("sent") > driver.log.index("send")


def test_without_memory_for_a_piece_smaller_ones_give_the_same_bytes(
    wide: Family, tmp_path: Path, catalog: Catalog
) -> None:
    plan = make_plan(wide.recipe("task_arithmetic"), catalog)
    driver = AwayDriver(most=4 * 9_000)
    shares: list[float] = []
    lane = Ring(driver, 40_000, workers=2)
    stream_merge(plan, catalog, tmp_path / "away", lane=lane, progress=lambda standing: shares.append(standing.share))
    assert "short of memory" in driver.log and "relieve" in driver.log and shares[-1] == 1.0
    assert driver.log[-1] == "fetched"
    stream_merge(plan, catalog, tmp_path / "here")
    assert_same_files(tmp_path / "away", tmp_path / "here")


def test_what_a_device_has_no_memory_for_at_all_the_cpu_does(wide: Family, tmp_path: Path, catalog: Catalog) -> None:
    plan = make_plan(wide.recipe("iso_c"), catalog)
    driver = AwayDriver(most=4 * 1000)
    stream_merge(plan, catalog, tmp_path / "away", lane=Ring(driver, 2 * STREAMED_PIECE, workers=2))
    assert driver.log.count("short of memory") >= 2
    stream_merge(plan, catalog, tmp_path / "here")
    assert_same_files(tmp_path / "away", tmp_path / "here")


def test_a_tile_is_halved_until_it_fits_and_never_below_the_least() -> None:
    lane = Ring(AwayDriver(), 8)

    def merge(part: Tile) -> torch.Tensor:
        if part.stop - part.start > 3:
            raise torch.OutOfMemoryError("none left")
        return torch.arange(part.start, part.stop)

    parts = list(in_parts(lane, Tile(0, 5, 15), 2, merge))
    assert torch.equal(torch.cat([made for _, made in parts]), torch.arange(5, 15))
    assert [part.start for part, _ in parts] == [5, 7, 10, 12]
    with pytest.raises(torch.OutOfMemoryError):
        list(in_parts(lane, Tile(0, 5, 15), 5, merge))


def test_other_errors_of_a_device_are_not_taken_for_a_lack_of_memory() -> None:
    def run(lane: object, size: int) -> None:
        raise RuntimeError("an illegal access")

    with pytest.raises(RuntimeError, match="illegal"):
        with_less(Ring(AwayDriver(), 8), 8, 2, run)


def test_pieces_are_halved_before_the_cpu_takes_over() -> None:
    ring = Ring(AwayDriver(), 8)
    tried: list[tuple[str, int]] = []

    def run(lane: Any, size: int) -> int:
        tried.append((lane.device.type, size))
        if lane is ring:
            raise torch.OutOfMemoryError("none left")
        return size

    assert with_less(ring, 9, 4, run) == 4
    assert tried == [("cuda", 9), ("cuda", 4), ("cpu", 4)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_number_that_is_not_finite_is_found_on_the_device_and_told_as_on_the_cpu(
    dtype: torch.dtype, tmp_path: Path, catalog: Catalog
) -> None:
    weights = torch.zeros(20, dtype=dtype)
    base = write(tmp_path / "base", {"w": weights})
    weights[17] = float("nan")
    expert = write(tmp_path / "expert", {"w": weights})
    method = {"name": "task_arithmetic"}
    plan = make_plan(parse_recipe({"version": 1, "base": base, "models": [{"ref": expert}], "method": method}), catalog)
    with pytest.raises(NonFiniteError, match="expert: w: every element is finite, but 1 NaN"):
        stream_merge(plan, catalog, tmp_path / "out", lane=Ring(AwayDriver(), 8, item=8))
    assert not (tmp_path / "out").exists()


def test_a_merge_on_a_device_can_be_cancelled(wide: Family, tmp_path: Path, catalog: Catalog) -> None:
    driver = AwayDriver()
    plan = make_plan(wide.recipe("linear"), catalog)
    with pytest.raises(CancelledError):
        lane = Ring(driver, 1000)
        stream_merge(plan, catalog, tmp_path / "out", lane=lane, cancelled=lambda: driver.log.count("send") > 5)
    assert not (tmp_path / "out").exists()


def test_leaves_that_fit_no_buffer_go_through_several() -> None:
    ring = Ring(AwayDriver(), 4)
    values = torch.arange(11, dtype=torch.float32)

    def read(*, check: bool = True, room: Any = None) -> torch.Tensor:
        assert room is None or room(values.numel() * 4) is None
        return values

    with ring.working():
        there = ring.take(read, check=True)
        assert there.device == AWAY
        (back,) = ring.give(there)
    assert torch.equal(back, torch.arange(11, dtype=torch.float32))


def test_devices_are_refused_by_name_and_where_they_are_not_there(
    small: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(small.recipe("ties"), catalog)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert lane_for(plan) is CORES and lane_for(plan, "cpu") is CORES
    with pytest.raises(PlanError, match="did you mean “cuda”"):
        lane_for(plan, "cudaa")
    with pytest.raises(PlanError, match="CUDA is there"):
        lane_for(plan, "cuda")
    with pytest.raises(PlanError, match="MPS is there"):
        lane_for(plan, "mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert isinstance(lane_for(plan, "mps"), Ring)
    with pytest.raises(PlanError, match="float64"):
        lane_for(make_plan(small.recipe("iso_c"), catalog), "mps")


def test_a_device_is_taken_where_the_plan_says_that_it_pays_and_has_room(
    small: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(small.recipe("ties"), catalog)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(devices, "Cuda", Plain)
    free = 1 << 34
    assert not pays(plan) and lane_for(plan) is CORES
    assert isinstance(lane_for(plan, "cuda"), Ring)
    monkeypatch.setattr(devices, "_STARTING", 0.0)
    monkeypatch.setattr(devices, "_PAYS", 1.0)
    assert pays(plan) and isinstance(lane_for(plan), Ring)
    free = 1 << 10
    assert lane_for(plan) is CORES
    with pytest.raises(PlanError, match="free on the device"):
        lane_for(plan, "cuda")


def test_pieces_become_smaller_where_a_device_has_little_memory(wide: Family, catalog: Catalog) -> None:
    plan = make_plan(wide.recipe("ties"), catalog)
    assert piece_for(plan, 1 << 40) == 1 << 22
    assert piece_for(plan, 0) is None
    assert device_bytes(plan, 1 << 22) >= device_bytes(plan, 1 << 10) > 0
    assert LEAST_PART < 1 << 17


@pytest.mark.parametrize(("method", "alike"), [("ties", True), ("iso_c", False)])
def test_a_killed_merge_goes_on_elsewhere_only_where_the_bits_are_the_same(
    method: str, alike: bool, small: Family, catalog: Catalog
) -> None:
    plan = make_plan(small.recipe(method), catalog)
    here, there = _identity(plan, None, CORES), _identity(plan, None, Ring(AwayDriver(), 8))
    assert (here == there) is alike and _identity(plan, 100, CORES) != here


def assert_same_files(left: Path, right: Path) -> None:
    names = sorted(path.name for path in left.iterdir())
    assert names == sorted(path.name for path in right.iterdir())
    assert all((left / name).read_bytes() == (right / name).read_bytes() for name in names)
