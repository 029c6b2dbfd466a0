"""How the study seeks the permutations of the second model, by the choice of its parameter `match`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy

from merging_core.alignment.activation_matching import Cost, Moments, match_activations, match_gains
from merging_core.alignment.information import joints_of, signed_gains
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import match_weights
from merging_core.analysis.aligning.searching import sought
from merging_core.analysis.aligning.subject import Subject
from merging_core.analysis.aligning.telling import Told
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.methods.info import ParameterInfo

__all__ = ["MATCHED", "TRAINED", "Sought", "members"]

_MEMBER, _GAIN = "member", "matching"
TRAINED = ("match", "midpoint", "sinkhorn")
"""The choices that search with gradient steps."""


@dataclass(frozen=True, eq=False)
class Sought:
    """Permutations of the second model, the share of the search that is done, and whether the rest takes long."""

    member: Mapping[str, Indices]
    share: float
    long: bool = False


def members(  # noqa: PLR0913
    spec: StudySpec,
    bench: StudyBench,
    memory: Memory,
    subject: Subject,
    symmetry: Symmetry,
    moments: Mapping[str, Moments],
    told: Told,
) -> Iterator[Sought]:
    """Yield ever better permutations of the second model.

    Models that are aligned keep their order. What the memory knows is not sought again.
    """
    known = memory.get(_MEMBER)
    told.gains = [float(gain) for gain in (memory.get(_GAIN) or {"gains": numpy.zeros(0)})["gains"]]
    if known is not None:
        yield Sought({name: known[name].astype(numpy.int64) for name in symmetry.identity()}, 1.0)
        return
    member, match = symmetry.identity(), spec.params["match"]
    if told.aligned:
        pass
    elif match == "weights":
        restarts = int(spec.params.number("restarts"))
        for step in match_weights(symmetry, *subject.models, seed=spec.seed, restarts=restarts, heed=bench.heed):
            member = dict(step.member)
            told.gains.append(step.gain)
            if not step.complete:
                yield Sought(member, 0.9)
    elif match in TRAINED[1:]:
        yield Sought(member, 0.0, long=True)
        for standing in sought(spec, bench, memory, subject, symmetry):
            member = dict(standing.best)
            told.gains.append(-standing.loss)
            memory.put(_GAIN, gains=numpy.array(told.gains, dtype=numpy.float64))
            yield Sought(member, 0.99 * standing.step / spec.params.number("steps"))
    elif match == "information":
        bins = int(spec.params.number("bins"))
        joints = joints_of(symmetry, subject.found.forward, *subject.models, subject.batches(), bins)
        member = match_gains(symmetry, signed_gains(joints, moments))
    else:
        cost: Cost = "l2" if match == "l2" else "correlation"
        member, _ = match_activations(symmetry, moments, cost)
    memory.put(_MEMBER, **{name: indices.astype(numpy.int32) for name, indices in member.items()})
    memory.put(_GAIN, gains=numpy.array(told.gains, dtype=numpy.float64))
    yield Sought(member, 1.0)


MATCHED = (
    ParameterInfo(
        "match", "Match by", "choice", "correlation", "What makes two units the same: their weights, or how their "
        "activations on calibration inputs correlate, differ, or tell of each other (mutual information); or the loss "
        "of the middle on the train split, by gradient steps on a copy (midpoint) or on soft permutations (sinkhorn).",
        choices=("correlation", "l2", "information", "weights", "midpoint", "sinkhorn"),
    ),
    ParameterInfo(
        "bins", "Bins", "integer", 8, "Into how many bins the activations of a unit fall, by its quantiles.",
        2, 64, slider=(2, 16), only_when=("match", "information"),
    ),
    ParameterInfo(
        "restarts", "Restarts", "integer", 3, "How often the search begins, the first time where the models stand.",
        1, 100, slider=(1, 10), only_when=("match", "weights"),
    ),
    ParameterInfo(
        "steps", "Steps", "integer", 300, "Steps of the search.", 1, 1_000_000, slider=(50, 1_000),
        only_when=TRAINED,
    ),
    ParameterInfo(
        "rate", "Learning rate", "number", 0.5, "How far a step goes, less for transformers.", 0.0, 10.0,
        minimum_excluded=True, step=0.001, slider=(0.01, 1.0), only_when=("match", "midpoint"),
    ),
    ParameterInfo(
        "aim", "Aim", "choice", "middle", "What soft permutations bring down: the loss of the middle on the train "
        "split, or the distance of the weights, without examples.", choices=("middle", "weights"),
        only_when=("match", "sinkhorn"),
    ),
    ParameterInfo(
        "pace", "Pace", "number", 0.1, "How far a step of soft permutations goes.", 0.0, 10.0,
        minimum_excluded=True, step=0.001, slider=(0.01, 0.5), only_when=("match", "sinkhorn"),
    ),
    ParameterInfo(
        "batch", "Batch", "integer", 64, "Examples of each task in a step.", 1, 4_096, slider=(8, 256),
        only_when=TRAINED,
    ),
)  # fmt: skip
"""By what units are matched."""
