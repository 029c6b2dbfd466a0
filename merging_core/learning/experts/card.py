"""The card of an expert: from what, on what and how it was trained, and what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from merging_core import __version__
from merging_core.cards.licences import licence_of
from merging_core.cards.markdown import code_block, inert, table
from merging_core.checkpoints.reader import Checkpoint
from merging_core.evaluation.percent import percent
from merging_core.evaluation.report import Report, compare
from merging_core.evaluation.tasks import AnyTask
from merging_core.learning.events import Trained
from merging_core.learning.robustness import Robust
from merging_core.learning.spec import LearnSpec

__all__ = ["expert_card"]


def expert_card(spec: LearnSpec, base: Checkpoint, tasks: Sequence[AnyTask], ended: Trained, changed: int) -> str:
    """Return the text of README.md; what comes from outside (names of models and tasks) is inert.

    `changed`: how many scalars are other ones than the base's.
    """
    licence = licence_of(base)
    front = yaml.safe_dump(_front_matter(spec, base, licence), sort_keys=False, allow_unicode=True, width=120)
    trained = ", ".join(inert(task.title) for task in tasks)
    sections = [
        f"---\n{front}---",
        f"# {inert(base.label)}, trained on {trained}",
        f"{inert(spec.info.title)}, by Basin {__version__}. {inert(spec.info.summary)}",
        "## How it was trained",
        table(("what", "value"), _rows(spec, base, ended, changed)),
        "The same again, where Basin lies and this is `spec.yaml` (`base` as it is called there):",
        code_block(yaml.safe_dump(_spec(spec, base), sort_keys=False, allow_unicode=True), "yaml"),
        code_block("python -m merging_core learn spec.yaml --out run", "bash"),
        *([_LINEAR] if spec.info.linearised else []),
        "## Results on the validation split",
        _results(ended),
        "## Lineage",
        f"The base is {inert(base.label)}, licence {inert(licence or 'unknown')}, content `{base.content()}`. "
        "Obey its licence, and those of the tasks’ examples.",
    ]
    return "\n\n".join(sections) + "\n"


_LINEAR = (
    "It was linearly tuned: what learned, and what the numbers below are of, is the model linearised at the base, "
    "f(x; θ₀) + ∇f(x; θ₀)·(θ − θ₀). Evaluate it, and merges of such experts, with `evaluate --linearised`."
)


def _front_matter(spec: LearnSpec, base: Checkpoint, licence: str | None) -> dict[str, Any]:
    parent = {"base_model": base.ref.path, "base_model_relation": "finetune"} if base.ref.scheme == "hub" else {}
    told = {} if licence is None else {"license": licence}
    return {**told, **parent, "tags": ["fine-tuned", "basin", spec.method]}


def _rows(spec: LearnSpec, base: Checkpoint, ended: Trained, changed: int) -> list[tuple[str, str]]:
    titles = {info.name: info.title for info in spec.info.parameters}
    stopped = ", where it was told to stop" if ended.stopped else ""
    chosen = f", chosen by {ended.chosen_by}" if ended.chosen_by else ""
    return [
        ("base", inert(base.label)),
        ("tasks", ", ".join(map(inert, spec.tasks))),
        ("examples from", inert(spec.split)),
        ("steps", f"{ended.step} of {spec.steps}{stopped}"),
        ("kept", f"as after step {ended.kept_step}{chosen}"),
        ("batch", f"{spec.batch} of each task"),
        ("seed", str(spec.seed)),
        ("scalars that changed", f"{changed} of {base.elements} ({percent(changed / base.elements)} %)"),
        ("minimised", inert(str(spec.info.objective).replace("_", "-"))),
        *((inert(titles[name]), inert(str(value))) for name, value in spec.params.items()),
    ]


def _spec(spec: LearnSpec, base: Checkpoint) -> dict[str, object]:
    """Return the specification without a folder of the machine that it was carried out on."""
    return {**spec.as_json(), "base": base.label if base.ref.scheme == "file" else spec.base}


def _results(ended: Trained) -> str:
    columns = [("base", ended.before), ("expert", ended.after)]
    if ended.plain is not None:
        columns.insert(1, ("without the average", ended.plain))
    header = ["task", "n", *(f"{name} %" for name, _ in columns)]
    rows = [
        [inert(score.title), str(score.n), *(_cell(report.tasks[place].accuracy, report.tasks[place].interval)
                                            for _, report in columns)]
        for place, score in enumerate(ended.after.tasks)
    ]  # fmt: skip
    if len(rows) > 1:
        shown = [_cell(report.average, report.average_interval) for _, report in columns]
        rows.append(["**average**", str(ended.after.n), *shown])
    lines = [
        table(header, rows),
        f"The expert gains {_gain(ended.after, ended.before)} on the base, in points, paired.",
    ]
    if ended.plain is not None:
        lines.append(f"On the weights without the average: {_gain(ended.after, ended.plain)}.")
    lines += [_attacked(*pair) for pair in ended.robust]
    if ended.chosen_by:
        lines.append("Validation examples chose what is kept; a test score is the fairer one.")
    return "\n\n".join(lines)


def _attacked(before: Robust, after: Robust) -> str:
    """Say how many answers are right before and after an attack."""
    start, end = (_cell(one.report.average, one.report.average_interval) for one in (before, after))
    gain = _gain(after.report, before.report)
    return f"Right before and after an {after.attack.words}: {start} % the base, {end} % the expert, {gain} points."


def _cell(accuracy: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{percent(accuracy)} ({percent(low)} – {percent(high)})"


def _gain(after: Report, before: Report) -> str:
    gain = compare(after, before).average
    low, high = gain.interval
    return f"{100 * gain.value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
