"""How a merge stands: bytes counted by hand, passes, and a time left that comes true on a machine of any speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from merging_core.checkpoints import Catalog
from merging_core.engines import make_plan, stream_merge
from merging_core.engines.pricing import operations_of, work_seconds
from merging_core.engines.progress import Meter, Standing
from tests.engines.world import WIDE, Family, family


@pytest.fixture
def wide(tmp_path: Path) -> Family:
    return family(tmp_path, shapes=WIDE)


def test_bytes_are_those_of_every_pass_over_the_experts_and_of_what_is_written(
    wide: Family, tmp_path: Path, catalog: Catalog
) -> None:
    floating = [one for one in wide.base_tensors.values() if one.is_floating_point()]
    one_pass = 3 * 4 * sum(one.numel() for one in floating)
    copied = sum(one.numel() * one.element_size() for one in wide.base_tensors.values()) - one_pass // 3
    output = 2 * sum(one.numel() for one in floating) + copied
    for method, passes in (("task_arithmetic", 1), ("ties", 4)):
        told: list[Standing] = []
        plan = make_plan(wide.recipe(method, dtype="bfloat16"), catalog)
        stream_merge(plan, catalog, tmp_path / method, progress=told.append)
        last = told[-1]
        assert (last.passes, last.number, last.at_most) == (passes, passes, False)
        assert (last.done, last.total) == (passes * one_pass + output,) * 2
        assert (last.written, last.output) == (output, output)


def test_while_a_model_is_looked_at_the_passes_are_the_most_that_there_can_be(
    wide: Family, tmp_path: Path, catalog: Catalog
) -> None:
    told: list[Standing] = []
    plan = make_plan(wide.recipe("ties", layer_scaling={"kind": "lines"}), catalog)
    stream_merge(plan, catalog, tmp_path / "out", progress=told.append)
    looking = [one for one in told if one.at_most]
    assert looking and {one.passes for one in looking} == {plan.passes.reads} and looking[0].number == 1
    assert all(one.total >= told[-1].total for one in looking)


@pytest.mark.parametrize("slower", [0.5, 40.0])
def test_the_time_left_comes_true_where_every_part_takes_a_multiple_of_what_the_plan_says(
    slower: float, wide: Family, catalog: Catalog
) -> None:
    plan = make_plan(wide.recipe("iso_c"), catalog)
    now, told = 0.0, list[Standing]()
    meter = Meter(plan, 0, told.append, lambda: now)
    meter.found()
    operations, ends = operations_of(plan.stages, plan.settings, plan.space), list[float]()
    assert operations
    for place, leaf in enumerate(plan.space.leaves):
        nbytes = 4 * leaf.elements
        work = work_seconds(3 * leaf.elements, 3 * nbytes, nbytes, operations.get(place, 0.0), plan.means.workers)
        now += 1e5 * slower * work
        meter.wrote(nbytes, leaf.name, place, leaf.elements)
        ends.append(now)
    said = [(moment, one.left) for moment, one in zip(ends, told, strict=True) if one.left is not None]
    assert len(said) > 3
    copied = work_seconds(0, 0, plan.output_bytes - 4 * plan.space.size, 0.0, plan.means.workers) * 1e5 * slower
    for moment, left in said:
        assert left == pytest.approx(now - moment + copied, rel=1e-6)


def test_a_step_that_takes_long_is_told_again_each_second_by_name_and_waits_for_nobody(
    wide: Family, catalog: Catalog
) -> None:
    plan = make_plan(wide.recipe("iso_c"), catalog)
    now, told = 0.0, list[Standing]()

    def hears(standing: Standing) -> None:
        told.append(standing)
        meter.beat()

    meter = Meter(plan, 0, hears, lambda: now)
    meter.say("starting")
    meter.begins("layer")
    for now in (0.5, 0.9, 1.0, 1.5, 2.5):  # noqa: B007
        meter.beat()
    assert [one.what for one in told] == ["starting", "layer", "layer"]
