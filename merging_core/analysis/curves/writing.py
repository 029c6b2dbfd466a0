"""A point of a trained curve as a checkpoint folder that says where it comes from."""

from __future__ import annotations

from pathlib import Path

import yaml

from merging_core import __version__
from merging_core.analysis.curves.curve import Curve, chord
from merging_core.analysis.curves.study import kind_of
from merging_core.analysis.curves.training import trained_of
from merging_core.analysis.studies.contract import StudyBench
from merging_core.analysis.studies.memory import Memory
from merging_core.analysis.studies.spec import StudySpec
from merging_core.cards.markdown import code_block, inert
from merging_core.checkpoints import write_checkpoint
from merging_core.checkpoints.companions import companions_of
from merging_core.checkpoints.dtypes import torch_dtype
from merging_core.checkpoints.header import LeafSpec
from merging_core.errors import PlanError, Problem

__all__ = ["curve_in", "write_point"]


def curve_in(spec: StudySpec, bench: StudyBench, memory: Memory) -> Curve:
    """Return the trained curve that a memory of the study `curve` holds.

    Raises PlanError where it is another study or its training is not over, and as opening models does.
    """
    if spec.study != "curve":
        must, fix = "the folder is one of the study curve", "python -m merging_core curve A B --out FOLDER"
        raise PlanError(Problem(must, spec.study, "study", fix))
    line = chord(bench.points(spec), kind_of(spec), int(spec.params.number("bends")))
    curve, step, _ = trained_of(line, memory)
    steps = int(spec.params.number("steps"))
    if step < steps:
        must, fix = "the curve is trained to its end", "ask the same study again with the same folder"
        raise PlanError(Problem(must, f"{step} of {steps} steps", "curve", fix))
    return curve


def write_point(curve: Curve, t: float, spec: StudySpec, folder: Path) -> Path:
    """Write the weights at t into a new folder, in the first model's form and dtypes, with a card; return the folder.

    Raises PlanError for a t outside [0, 1], and as `write_checkpoint` does.
    """
    if not 0.0 <= t <= 1.0:
        raise PlanError(Problem("a point of a curve lies at t in [0, 1]", f"{t:g}", "t"))
    reference = curve.points.reference
    specs = [LeafSpec(name, leaf.dtype, leaf.shape) for name, leaf in reference.leaves.items()]
    weights = curve.weights(t)
    leaves = ((one.name, weights[one.name].cpu().to(torch_dtype(one.dtype))) for one in specs)
    extra: dict[str, str | bytes] = {**companions_of(reference), "README.md": _card(curve, t, spec)}
    return write_checkpoint(folder, leaves, specs, reference.config, extra=extra)


def _card(curve: Curve, t: float, spec: StudySpec) -> str:
    front = yaml.safe_dump({"tags": ["merge", "basin", "curve"]}, sort_keys=False)
    first, last = (inert(label) for label in spec.labels)
    shares = ", ".join(f"{share:.6g}" for share in curve.shares(t))
    asked = yaml.safe_dump(spec.as_json(), sort_keys=False, allow_unicode=True)
    sections = [
        f"---\n{front}---",
        f"# A point between {first} and {last}",
        f"The weights at t = {t:g} of a trained {'Bezier curve' if curve.kind == 'bezier' else 'chain'}, "
        f"by Basin {__version__}: the sum of end, bends and end with the shares {shares}. The bends were trained on "
        f"the train split of {', '.join(inert(task) for task in spec.tasks) or 'the family’s tasks'}.",
        "What was asked:",
        code_block(asked, "yaml"),
        "Obey the licences of both models, and those of the tasks’ examples.",
    ]
    return "\n\n".join(sections) + "\n"
