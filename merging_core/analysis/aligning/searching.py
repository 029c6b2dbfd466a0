"""Searches that take many steps: where they stand is kept in the memory, and they go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy
import torch
from numpy.typing import NDArray

from merging_core.alignment.observing import Weights
from merging_core.alignment.soft_matching import SoftStanding, distance, soft_begun, soft_stepped
from merging_core.alignment.straight_through import Standing, begun, middle, stepped
from merging_core.alignment.symmetry import Symmetry
from merging_core.analysis.aligning.middles import Middles
from merging_core.analysis.aligning.subject import Subject
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec

__all__ = ["sought"]

_KEY, _SHOWN = "search", 20
Either = TypeVar("Either", Standing, SoftStanding)


def sought(
    spec: StudySpec, bench: StudyBench, memory: Memory, subject: Subject, symmetry: Symmetry
) -> Iterator[Standing | SoftStanding]:
    """Yield where a search stands, now and then and at its end: straight-through, or by soft permutations."""
    if spec.params["match"] == "midpoint":
        with Middles(spec, bench, subject) as middles:
            yield from _straight(spec, bench, memory, subject, symmetry, middles)
    elif spec.params["aim"] == "middle":
        with Middles(spec, bench, subject) as middles:
            yield from _soft(spec, bench, memory, subject, symmetry, middles)
    else:
        yield from _soft(spec, bench, memory, subject, symmetry, None)


def _straight(  # noqa: PLR0913
    spec: StudySpec, bench: StudyBench, memory: Memory, subject: Subject, symmetry: Symmetry, middles: Middles
) -> Iterator[Standing]:
    target, weights = subject.models
    rate, seed, slope, judge = spec.params.number("rate"), spec.seed, middles.slope, middles.judge

    def begin() -> Standing:
        return begun(symmetry, target, weights, judge, seed=seed)

    def go(standing: Standing) -> Standing:
        return stepped(standing, symmetry, target, weights, slope, judge, rate=rate, seed=seed)

    yield from _searched(spec, bench, memory, begin, go, Standing)


def _soft(  # noqa: PLR0913
    spec: StudySpec, bench: StudyBench, memory: Memory, subject: Subject, symmetry: Symmetry, middles: Middles | None
) -> Iterator[SoftStanding]:
    target, weights = subject.models
    slope = None if middles is None else middles.slope

    def judge(other: Weights) -> float:
        if middles is None:
            return float(distance(symmetry, target, other))
        return middles.judge(middle(target, other))

    def begin() -> SoftStanding:
        return soft_begun(symmetry, weights, judge, seed=spec.seed)

    def go(standing: SoftStanding) -> SoftStanding:
        return soft_stepped(standing, symmetry, target, weights, slope, judge, rate=spec.params.number("pace"))

    yield from _searched(spec, bench, memory, begin, go, SoftStanding)


def _searched(  # noqa: PLR0913
    spec: StudySpec,
    bench: StudyBench,
    memory: Memory,
    begin: Callable[[], Either],
    go: Callable[[Either], Either],
    kind: type[Either],
) -> Iterator[Either]:
    """Go all steps, from where the memory stands, which gets every step that is yielded."""
    steps, kept = int(spec.params.number("steps")), memory.get(_KEY)
    standing = begin() if kept is None else kind(**_recalled(kept, bench.evaluator.device))
    while standing.step < steps:
        bench.heed()
        standing = go(standing)
        if standing.step % max(1, steps // _SHOWN) == 0 or standing.step == steps:
            memory.put(_KEY, **_arrays(standing))
            yield standing


def _arrays(standing: Standing | SoftStanding) -> dict[str, Any]:
    """Return each part of a standing by name, without which members were judged; numbers are parts without names."""
    found: dict[str, Any] = {}
    for part in (one.name for one in fields(standing) if one.name != "judged"):
        value = getattr(standing, part)
        if not isinstance(value, Mapping):
            found[part] = numpy.array(value)
            continue
        for name, one in value.items():
            found[f"{part} {name}"] = one.detach().cpu().numpy().copy() if isinstance(one, torch.Tensor) else one
    return found


def _recalled(kept: Mapping[str, NDArray[Any]], device: torch.device) -> dict[str, Any]:
    """Return the parts of a standing; whole numbers under a name are permutations, others are leaves."""
    found: dict[str, Any] = {}
    for key, array in kept.items():
        part, named, name = key.partition(" ")
        if not named:
            found[part] = array.item()
        else:
            value = array.astype(numpy.int64) if array.dtype.kind == "i" else torch.tensor(array, device=device)
            found.setdefault(part, {})[name] = value
    return found
