"""How the study seeks the permutations of the second model, by the choice of its parameter `match`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy

from merging_core.alignment.activation_matching import Cost, Moments, match_activations, match_gains
from merging_core.alignment.information import joints_of, signed_gains
from merging_core.alignment.symmetry import Indices, Symmetry
from merging_core.alignment.weight_matching import match_weights
from merging_core.analysis.aligning.subject import Subject
from merging_core.analysis.aligning.telling import Told
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.methods.info import ParameterInfo

__all__ = ["MATCHED", "members"]

_MEMBER, _GAIN = "member", "matching"
Member = dict[str, Indices]


def members(  # noqa: PLR0913
    spec: StudySpec,
    bench: StudyBench,
    memory: Memory,
    subject: Subject,
    symmetry: Symmetry,
    moments: Mapping[str, Moments],
    told: Told,
) -> Iterator[tuple[Member, float]]:
    """Yield ever better permutations of the second model, each with the share of the search that is done.

    Models that are aligned keep their order. What the memory knows is not sought again.
    """
    known = memory.get(_MEMBER)
    if known is not None:
        told.gains = [float(gain) for gain in (memory.get(_GAIN) or {"gains": numpy.zeros(0)})["gains"]]
        yield {name: known[name].astype(numpy.int64) for name in symmetry.identity()}, 1.0
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
                yield member, 0.9
    elif match == "information":
        bins = int(spec.params.number("bins"))
        joints = joints_of(symmetry, subject.found.forward, *subject.models, subject.batches(), bins)
        member = match_gains(symmetry, signed_gains(joints, moments))
    else:
        cost: Cost = "l2" if match == "l2" else "correlation"
        member, _ = match_activations(symmetry, moments, cost)
    memory.put(_MEMBER, **{name: indices.astype(numpy.int32) for name, indices in member.items()})
    memory.put(_GAIN, gains=numpy.array(told.gains, dtype=numpy.float64))
    yield member, 1.0


MATCHED = (
    ParameterInfo(
        "match", "Match by", "choice", "correlation", "What makes two units the same: their weights, or how their "
        "activations on calibration inputs correlate, differ, or tell of each other (mutual information).",
        choices=("correlation", "l2", "information", "weights"),
    ),
    ParameterInfo(
        "bins", "Bins", "integer", 8, "Into how many bins the activations of a unit fall, by its quantiles.",
        2, 64, slider=(2, 16), only_when=("match", "information"),
    ),
    ParameterInfo(
        "restarts", "Restarts", "integer", 3, "How often the search begins, the first time where the models stand.",
        1, 100, slider=(1, 10), only_when=("match", "weights"),
    ),
)  # fmt: skip
"""By what units are matched."""
