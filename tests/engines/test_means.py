"""Memory as a setting: what a plan says is not exceeded, less of it makes smaller steps, and the least is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import synthetic
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.writer import write_checkpoint
from merging_core.cores import cores
from merging_core.engines import devices, make_plan
from merging_core.engines.means import PROGRAM_BYTES, Means, Need, Room, means_for, room_problem, this_program
from merging_core.engines.pricing import STREAMED_PIECE
from merging_core.engines.streaming import stream_leaves
from merging_core.errors import PlanError
from tests.engines.world import WIDE, Family, assert_same_bits, family

ROOT = Path(__file__).resolve().parents[2]
SIZE = synthetic.Size(192, 512, 1, 4, 4, 16_000)
"""6.6 million parameters."""
NEED = Need(
    models=3, measured=0, output_item=2, largest=1 << 24, undivided=None, beside=0, numbers=(0, 0), ranked=0,
    guessed=1 << 28, scored=0, sums=False, adapters=0,
)  # fmt: skip

MERGES = """
import json, os, sys
from merging_core.process import prepare_process
prepare_process()
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import make_plan, stream_merge
from merging_core.engines.means import Room
from merging_core.engines.plan import price
from merging_core.recipes.parse import parse_recipe

def took(what):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(what))

folder = sys.argv[1]
catalog = Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True)
for name, recipe, more in json.loads(sys.argv[2]):
    plan = make_plan(parse_recipe(recipe), catalog)
    plan.hash
    for cap in (None, more):
        reading, writing = os.pipe()
        if os.fork() == 0:
            program = took("VmRSS")
            plan = price(plan.recipe, plan.survey, Room(program + cap if cap else None, program))
            out = f"{folder}/{name}-{cap}"
            stream_merge(plan, catalog, out)
            size = plan.means.piece * plan.means.workers
            os.write(writing, json.dumps([took("VmHWM"), plan.peak_bytes, size]).encode())
            os._exit(0)
        os.wait()
        print(name, cap, os.read(reading, 999).decode(), sep="\\t", flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("llama")
    for number in range(4):
        write_checkpoint(made / f"m{number}", synthetic._weights(SIZE, number), SIZE.leaves(), SIZE.config())
    return made


@pytest.fixture
def made(tmp_path: Path) -> Family:
    return family(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what a process took at most")
def test_a_process_takes_no_more_than_the_plan_says_with_all_memory_and_with_little(folder: Path) -> None:
    refs = [f"file:{folder}/m{number}" for number in range(4)]

    def recipe(method: str, **params: float) -> dict[str, object]:
        models = [{"ref": ref} for ref in refs[1:]]
        named = {"name": method, "params": params}
        return {"version": 1, "base": refs[0], "models": models, "method": named, "dtype": "bfloat16"}

    asked = [
        ("dare_ties", recipe("dare_ties"), 31_000_000),
        ("breadcrumbs", recipe("breadcrumbs"), 94_000_000),
        ("iso_c", recipe("iso_c"), 570_000_000),
    ]
    said = subprocess.run(
        [sys.executable, "-c", MERGES, str(folder), json.dumps(asked)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split("\t") for line in said.splitlines()]
    assert len(rows) == 6
    for (name, _, free), (_, cap, tight) in zip(rows[::2], rows[1::2], strict=True):
        (took, peak, size), (took_less, peak_less, size_less) = json.loads(free), json.loads(tight)
        assert took <= peak and took_less <= peak_less, said
        assert size_less < size and peak_less < peak, said
        assert name != "dare_ties" or took > peak_less, "the limit was none"
        bytes_of = [(folder / f"{name}-{cap}" / "model.safetensors").read_bytes() for cap in (None, cap)]
        assert bytes_of[0] == bytes_of[1]


def test_with_less_memory_steps_become_smaller_and_then_fewer_at_a_time() -> None:
    plenty, least = means_for(NEED, 4, Room(1 << 40)), means_for(NEED, 4, Room(1))
    assert (plenty.piece, plenty.workers, plenty.guess) == (STREAMED_PIECE, min(8, cores()), True)
    assert (least.workers, least.ahead, least.guess) == (1, 1, False) and least.piece < plenty.piece
    most, lowest = (PROGRAM_BYTES + NEED.peak(means) for means in (plenty, least))
    totals = range(lowest, most + 1, (most - lowest) // 20)
    chosen = [means_for(NEED, 4, Room(total)) for total in totals]
    peaks = [PROGRAM_BYTES + NEED.peak(means) for means in chosen]
    assert all(peak <= total for peak, total in zip(peaks, totals, strict=True))
    assert chosen[0] == least and len(set(chosen)) > 4


def test_the_least_that_is_said_is_enough_and_a_byte_less_is_not() -> None:
    least = means_for(NEED, 4, Room(1))
    total = PROGRAM_BYTES + NEED.peak(least)
    assert room_problem(NEED, means_for(NEED, 4, Room(total)), Room(total)) is None
    assert room_problem(NEED, means_for(NEED, 4, Room(total - 1)), Room(total - 1)) is not None


def test_a_leaf_that_is_seen_whole_decides_the_least_and_is_named(tmp_path: Path, catalog: Catalog) -> None:
    large = family(tmp_path, shapes=WIDE | {"encoder.layers.2.mlp.fc2.weight": (1500, 1000)})
    room = Room(PROGRAM_BYTES + 40_000_000)
    assert make_plan(large.recipe("task_arithmetic"), catalog, room=room).peak_bytes <= PROGRAM_BYTES + 40_000_000
    with pytest.raises(PlanError, match="a merge fits the 340.0 MB of memory that it may take") as refused:
        make_plan(large.recipe("iso_c"), catalog, room=room)
    (problem,) = refused.value.problems
    assert "encoder.layers.2.mlp.fc2.weight, which is seen whole of 3 models" in problem.got
    allowed = float(problem.fix.removeprefix("allow ").removesuffix(" MB or more"))
    enough = replace(room, total=int((allowed + 0.1) * 1e6))
    assert make_plan(large.recipe("iso_c"), catalog, room=enough).means.workers == 1


def test_neither_the_piece_nor_what_waits_nor_the_guess_is_in_the_bits(tmp_path: Path, catalog: Catalog) -> None:
    made: Family = family(tmp_path, shapes=WIDE)
    for method in ("ties", "pcb", "karcher"):
        plan = make_plan(made.recipe(method), catalog)
        small = replace(plan, means=Means(8192, 1, 1, guess=False))
        assert_same_bits(dict(stream_leaves(plan)), dict(stream_leaves(small)))


def test_this_program_is_no_smaller_than_what_it_holds() -> None:
    held = torch.ones(1 << 26)
    assert this_program() > held.nbytes


def test_a_plan_says_which_device_auto_takes_and_why(
    made: Family, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(made.recipe("iso_c"), catalog)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.auto_choice(plan) == ("cpu", "there is no CUDA")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    name, why = devices.auto_choice(plan)
    assert name == "cpu" and why.startswith("CUDA would take about 5.0 s")
    monkeypatch.setattr(devices, "device_seconds", lambda plan: 0.0)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**9))
    assert devices.auto_choice(plan)[0] == "cuda"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10**9))
    assert devices.auto_choice(plan) == ("cpu", "1.0 kB that are free on the device are not enough")
