"""Masks and coefficients by gradient descent: `learn`, which stops and goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from merging_core.cli.interrupts import interrupts
from merging_core.cli.options import AsJson, Family
from merging_core.cli.output import answer, plain
from merging_core.cli.progress import ProgressLine
from merging_core.cli.tables import interval, percent

if TYPE_CHECKING:
    from merging_core.evaluation.report import Report
    from merging_core.evaluation.tasks import AnyTask
    from merging_core.learning import Checked, Ended, LearnSpec, Progress, Run, Tried
    from merging_core.learning.robustness import Robust

__all__ = ["learn"]

STATE, EVENTS, RECIPE, RESULT = "state.safetensors", "events.jsonl", "recipe.json", "result.json"
EXPERT = "expert"
"""The folder of a trained expert, beside them."""


def learn(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="What is to be learned: a JSON or YAML file.")],
    out: Annotated[
        Path, typer.Option(help="A folder for the recipe and its learned tensors, or the expert, and the run's events.")
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that stopped in this folder.")] = False,
    family: Family = None,
    as_json: AsJson = False,
) -> None:
    """Learn a merge from examples, or train an expert; Ctrl-C stops it so that --resume goes on, to the same result."""
    from merging_core.caches import own_folder
    from merging_core.checkpoints.learned import LearnedTensors
    from merging_core.cli.targets import open_bench
    from merging_core.errors import PlanError, Problem
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.learning import Bench, Finished, State, load_spec, open_run

    asked = load_spec(spec)
    if resume and (out / RESULT).is_file():
        must, fix = "a run that goes on was stopped", "name another folder to learn again"
        raise PlanError(Problem(must, "one that is finished", "--resume", fix))
    if not resume and out.is_dir() and any(out.iterdir()):
        must, fix = "the folder is new or empty", "add --resume to go on with what is in it, or name another"
        raise PlanError(Problem(must, "a folder with something in it", "--out", fix))
    state = State.load(out / STATE) if resume and (out / STATE).is_file() else None
    opened = open_bench(out / RECIPE)
    asked, tasks = _readable(opened, asked, family)
    out.mkdir(parents=True, exist_ok=True)
    if resume and (out / EVENTS).is_file():
        # Written by a process that was killed before it said so: the run ends once more, with the same bits.
        shutil.rmtree(out / EXPERT, ignore_errors=True)
    shared = [folder] if asked.info.paired and (folder := own_folder("statistics")) is not None else []
    bench = Bench(opened.engine(), Evaluator("cpu"), tasks, LearnedTensors((out, *shared)), out / EXPERT)
    with open_run(asked, bench, state) as run:
        ended = _run(run, out, as_json=as_json)
    if isinstance(ended, Finished):
        recipe = json.dumps(ended.recipe.as_json(), indent=2, ensure_ascii=False) + "\n"
        (out / RECIPE).write_text(recipe, encoding="utf-8")
    document = {"spec": asked.as_json(), **ended.as_json(), "folder": str(out)}
    (out / RESULT).write_text(json.dumps(plain(document), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / STATE).unlink(missing_ok=True)
    answer(_told(ended, out), document, as_json=as_json)


def _run(run: Run, out: Path, *, as_json: bool) -> Ended:
    """Go through a run, writing events down; raises KeyboardInterrupt after Ctrl-C, with the state on the disk."""
    from merging_core.learning import Checked, Ended, Paused, Progress

    with (
        interrupts() as interrupted,
        ProgressLine() as line,
        (out / EVENTS).open("a", encoding="utf-8") as events,
    ):

        def heed() -> Literal["go", "pause"]:
            return "pause" if interrupted.is_set() else "go"

        for event in run.events(heed):
            if not isinstance(event, Ended):
                events.write(json.dumps(event.as_json(), ensure_ascii=False) + "\n")
            if isinstance(event, Paused):
                run.state.save(out / STATE)
                raise KeyboardInterrupt
            if isinstance(event, Progress):
                line(event.step / max(1, event.steps), _progress(event))
            elif isinstance(event, Checked):
                run.state.save(out / STATE)
                events.flush()
                line.wipe()
                if not as_json:
                    typer.echo(_checked(event))
            elif isinstance(event, Ended):
                return event
    raise RuntimeError("a run ends with what became of it")


def _readable(bench: object, spec: LearnSpec, family: str | None) -> tuple[LearnSpec, tuple[AnyTask, ...]]:
    """Return the specification at commits of the Hub, all of it here, and the tasks that it names.

    Without names, they are those that the family's own experts among the models were fine-tuned on, or all.
    """
    from dataclasses import replace

    from merging_core.checkpoints.ref import parse_ref
    from merging_core.cli.downloads import readable, readable_recipe
    from merging_core.cli.targets import Bench

    if not isinstance(bench, Bench):
        raise TypeError("a bench")
    if spec.info.makes == "expert":
        spec = replace(spec, base=readable(spec.base, bench.catalog))
    else:
        recipe = readable_recipe(spec.recipe(), bench.catalog)
        spec = replace(spec, base=str(recipe.base), models=tuple(entry.ref for entry in recipe.models))
    chosen = bench.family(bench.catalog.open(spec.base), family)
    plain_refs = [str(parse_ref(ref).unpinned) for ref in spec.models]
    own = dict.fromkeys(chosen.expert_task[ref] for ref in plain_refs if ref in chosen.expert_task)
    names = spec.tasks or tuple(own)
    tasks = bench.tasks(chosen, names)
    if spec.info.paired:
        places = {name.rpartition("/")[2]: place for place, name in enumerate(names)}
        tasks = tuple(sorted(tasks, key=lambda task: places.get(task.name.rpartition("/")[2], len(places))))
    return replace(spec, tasks=tuple(task.name for task in tasks)), tasks


def _chosen(ended: Ended) -> list[str]:
    if not ended.chosen_by:
        return []
    if ended.held_out:
        return [f"chosen by {ended.chosen_by}, none of which is in these numbers"]
    return [f"the step was chosen by {ended.chosen_by}"]


def _attacked(before: Robust, after: Robust) -> str:
    """Say how start and end do under an attack, on the same examples as without."""
    from merging_core.evaluation.report import compare

    gain = compare(after.report, before.report).average
    low, high = (100 * end for end in gain.interval)
    ends = [f"{percent(one.report.average)} % {interval(one.report.average_interval)}" for one in (before, after)]
    gained = f"{100 * gain.value:+.1f} points ({low:+.1f} to {high:+.1f})"
    return f"{after.attack.words}: right before and after it {ends[0]} at the start, {ends[1]} learned, {gained}"


def _progress(event: Progress) -> str:
    left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
    loss = "" if event.loss is None else f", loss {event.loss:.4f}"
    return f"{event.phase.lower()}: step {event.step} of {event.steps}{loss}{left}"


def _checked(event: Checked) -> str:
    from merging_core.learning import Tried

    report = event.report
    best = "  best so far" if event.best else ""
    part = "part" if report.subset == "full" and report.partial else report.subset
    numbers = f"{percent(report.average)} % {interval(report.average_interval)}  loss {report.loss:.4f}"
    line = f"step {event.step:>6}  {report.split} {part} {numbers}  n {report.n}"
    return f"{line}{_tried(event)}" if isinstance(event, Tried) else f"{line}{best}"


def _tried(event: Tried) -> str:
    """Say what was tried, what it did against what was kept before, and whether it stays."""
    gained = ""
    if event.difference is not None:
        low, high = (100 * end for end in event.difference.interval)
        gained = f", {100 * event.difference.value:+.1f} points ({low:+.1f} to {high:+.1f})"
    return f"  {'kept' if event.best else 'left'}: {event.what}{gained}"


def _told(ended: Ended, out: Path) -> str:
    from merging_core.learning import Finished, Trained

    ends = [
        f"{percent(report.average)} % {interval(report.average_interval)}"
        for report in (ended.before, ended.after)
    ]  # fmt: skip
    made = out / (RECIPE if isinstance(ended, Finished) else EXPERT)
    rows = [
        f"{made}: as after step {ended.kept_step} of {ended.step}, in {ended.seconds:.1f} s",
        f"validation, n {ended.after.n}: {ends[0]} at the start, {ends[1]} learned",
        f"difference, paired: {_gain(ended.after, ended.before)}",
        *(
            [f"to the weights without the average, {percent(ended.plain.average)} %: {_gain(ended.after, ended.plain)}"]
            if isinstance(ended, Trained) and ended.plain is not None
            else []
        ),
        *(_attacked(*pair) for pair in ended.robust),
        f"{'chosen' if ended.held_out else 'learned'} from: {ended.split}"
        + (" (transductive: the inputs of the test split)" if ended.transductive else "")
        + (" (the examples that are shown here too)" if ended.seen else ""),
        *_chosen(ended),
        *(["of the model linearised at the base; evaluate it with --linearised"] if ended.after.linearised else []),
        *([f"hash {ended.hash}"] if isinstance(ended, Finished) else []),
    ]
    return "\n".join(rows)


def _gain(after: Report, before: Report) -> str:
    from merging_core.evaluation.report import compare

    gain = compare(after, before).average
    low, high = (100 * end for end in gain.interval)
    return f"{100 * gain.value:+.1f} points ({low:+.1f} to {high:+.1f})"
