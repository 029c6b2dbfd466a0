"""Which device a streaming merge computes on, and how large the pieces are that it is sent.

*The rule of `auto`*: the cores of the CPU, unless CUDA is there, every leaf that a method must see whole fits its
memory, and the plan expects the merge to be done there in two thirds of the time, with the seconds that CUDA takes to
start. So methods that decompose large matrices go to CUDA, and those that compute much more than they read; what the
disk takes is the same on both. `mps` is taken only where it is asked for.

The rates of the device are cautious figures for a small data-centre card, not measurements (docs/performance.md).
"""

from __future__ import annotations

from dataclasses import replace

import torch

from merging_core.engines.cuda import Cuda
from merging_core.engines.lanes import CORES, Lane
from merging_core.engines.masking import needs_standings
from merging_core.engines.plan import Plan
from merging_core.engines.pricing import STREAMED_PIECE, amount, seconds
from merging_core.engines.ring import Plain, Ring
from merging_core.engines.whole import whole_leaves
from merging_core.errors import PlanError, Problem, closest

__all__ = ["DEVICES", "auto_choice", "device_bytes", "device_seconds", "lane_for", "pays", "piece_for"]

DEVICES = ("auto", "cpu", "cuda", "mps")

_PIECE = 1 << 22
"""Elements of each model that a device is sent at once, where it has memory for them."""
_WORKERS = 4
_SHARE = 0.7
"""Of the device's free memory; the rest is for what the libraries of the device hold."""
_TEMPORARIES = 8
_RANKING = 64
"""Bytes for each element of a leaf that is being ranked."""
_STARTING = 5.0
"""Seconds until CUDA can compute."""
_SENT_PER_SECOND = 1e10
_ELEMENTS_PER_SECOND = 2e9
_OPERATIONS_PER_SECOND = 2e11
_PAYS = 2 / 3


def lane_for(plan: Plan, name: str = "auto") -> Lane:
    """Return the lane of a device for a plan; `auto` follows the rule above.

    Raises PlanError where the device is not there, or cannot carry out the plan.
    """
    if name not in DEVICES:
        must = f"the device is one of {', '.join(DEVICES)}"
        raise PlanError(Problem(must, name, "device", closest(name, DEVICES)))
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return _on_cuda(plan, asked=name == "cuda")
    if name != "mps":
        return CORES
    if not torch.backends.mps.is_available():
        raise _absent("MPS")
    if plan.stages.method.whole_leaf is not None:
        must = "MPS has the arithmetic of the method, which is in float64"
        raise PlanError(Problem(must, "none of that", plan.stages.method.name, "choose cpu"))
    return Ring(Plain(torch.device("mps")), STREAMED_PIECE, item=_largest_item(plan), workers=1)


def auto_choice(plan: Plan) -> tuple[str, str]:
    """Return the device that `auto` takes for a plan, and why."""
    if not torch.cuda.is_available():
        return "cpu", "there is no CUDA"
    here, there = plan.estimated_seconds, device_seconds(plan)
    if not pays(plan):
        return "cpu", f"CUDA would take about {there:.1f} s, more than two thirds of {here:.1f} s"
    free, _ = torch.cuda.mem_get_info(torch.cuda.current_device())
    if piece_for(plan, free) is None:
        return "cpu", f"{amount(free)} that are free on the device are not enough"
    return "cuda", f"about {there:.1f} s there, {here:.1f} s on the CPU"


def pays(plan: Plan) -> bool:
    """Say whether a plan is expected to be done in two thirds of the time on CUDA."""
    return device_seconds(plan) < _PAYS * plan.estimated_seconds


def device_seconds(plan: Plan) -> float:
    """Estimate how long a merge takes on CUDA: what the CPU's estimate says of the disk, and the device's own rates."""
    passes, elements = plan.passes, plan.space.size * len(plan.survey.experts)
    read = sum(checkpoint.nbytes for checkpoint in plan.survey.checkpoints)
    disk = seconds(replace(passes, operations=0.0), read, plan.output_bytes, 0)
    sent = (passes.reads * read + plan.output_bytes) / _SENT_PER_SECOND
    computed = passes.reads * elements / _ELEMENTS_PER_SECOND + passes.operations / _OPERATIONS_PER_SECOND
    return _STARTING + max(disk, sent) + computed


def piece_for(plan: Plan, free: int) -> int | None:
    """Return how many elements of each model a device with `free` bytes is sent at once; None if nothing will do.

    Pieces become smaller, down to those of the CPU, until all workers have room for theirs.
    """
    piece = _PIECE
    while device_bytes(plan, piece) > _SHARE * free:
        piece //= 2
        if piece < STREAMED_PIECE:
            return None
    return piece


def device_bytes(plan: Plan, piece: int) -> int:
    """Estimate what a device holds at most: the pieces of all workers, or the largest leaf that is seen whole.

    Of each model a piece as it is stored, in float32, masked and stacked; and temporaries of the method.
    """
    models, info = len(plan.survey.checkpoints), plan.stages.method
    each = 4 * (4 * models + _TEMPORARIES)
    ranked = any(plan.settings.masks_that(needs_standings))
    places = range(len(plan.space.leaves)) if ranked else whole_leaves(info, plan.stages.params, plan.space.leaves)
    largest = max((leaf.elements for leaf in plan.space.leaves), default=0)
    undivided = max((plan.space.leaves[place].elements for place in places), default=0)
    numbers = 0
    if info.whole_leaf is not None:
        cost, own = info.whole_leaf.cost, plan.settings.leaves
        shapes = {(plan.space.leaves[place].shape, own[place].params) for place in places}
        numbers = max((cost(shape, models, params).numbers for shape, params in shapes), default=0)
    held = undivided * (each + (_RANKING if ranked else 0)) + 2 * 8 * numbers
    return held + _WORKERS * min(piece, largest) * each


def _on_cuda(plan: Plan, *, asked: bool) -> Lane:
    """Return the lane of CUDA; the cores where nobody asked for it and it does not pay or has no room."""
    if not torch.cuda.is_available():
        raise _absent("CUDA")
    if not asked and not pays(plan):
        return CORES
    device = torch.device("cuda", torch.cuda.current_device())
    free, _ = torch.cuda.mem_get_info(device)
    piece = piece_for(plan, free)
    if piece is not None:
        return Ring(Cuda(device), piece, item=_largest_item(plan), workers=_WORKERS)
    if not asked:
        return CORES
    must = f"a merge fits the {amount(free)} that are free on the device"
    raise PlanError(Problem(must, amount(device_bytes(plan, STREAMED_PIECE)), "device", "choose cpu"))


def _absent(name: str) -> PlanError:
    return PlanError(Problem(f"{name} is there", "a machine without it", "device", "choose cpu, or auto"))


def _largest_item(plan: Plan) -> int:
    """Return the bytes of one number in the widest dtype of any model."""
    leaves = [leaf for checkpoint in plan.survey.checkpoints for leaf in checkpoint.leaves.values() if leaf.elements]
    return max((leaf.nbytes // leaf.elements for leaf in leaves), default=4)
