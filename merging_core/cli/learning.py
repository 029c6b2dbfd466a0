"""Masks and coefficients by gradient descent: `learn`, which stops and goes on where it stopped."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from merging_core.cli.options import AsJson, Family
from merging_core.cli.output import answer, plain
from merging_core.cli.progress import ProgressLine
from merging_core.cli.tables import interval, percent

if TYPE_CHECKING:
    from merging_core.evaluation.tasks import AnyTask
    from merging_core.learning import Checked, Finished, LearnSpec, Progress, Session

__all__ = ["learn"]

STATE, EVENTS, RECIPE, RESULT = "state.safetensors", "events.jsonl", "recipe.json", "result.json"


def learn(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="What is to be learned: a JSON or YAML file.")],
    out: Annotated[Path, typer.Option(help="A folder for the recipe, its learned tensors and the run's events.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that stopped in this folder.")] = False,
    family: Family = None,
    as_json: AsJson = False,
) -> None:
    """Learn masks or coefficients of a merge; Ctrl-C stops it so that --resume goes on, to the same result."""
    from merging_core.checkpoints.learned import LearnedTensors
    from merging_core.cli.targets import open_bench
    from merging_core.engines import LiveEngine
    from merging_core.errors import PlanError, Problem
    from merging_core.evaluation.evaluator import Evaluator
    from merging_core.learning import Session, State, load_spec

    asked = load_spec(spec)
    if resume and (out / RESULT).is_file():
        must, fix = "a run that goes on was stopped", "name another folder to learn again"
        raise PlanError(Problem(must, "one that is finished", "--resume", fix))
    if not resume and out.is_dir() and any(out.iterdir()):
        must, fix = "the folder is new or empty", "add --resume to go on with what is in it, or name another"
        raise PlanError(Problem(must, "a folder with something in it", "--out", fix))
    state = State.load(out / STATE) if resume and (out / STATE).is_file() else None
    bench = open_bench(out / RECIPE)
    asked, tasks = _readable(bench, asked, family)
    engine: LiveEngine = bench.engine()
    out.mkdir(parents=True, exist_ok=True)
    with Session(asked, engine, Evaluator("cpu"), tasks, LearnedTensors((out,)), state) as session:
        finished = _run(session, out, as_json=as_json)
    recipe = json.dumps(finished.recipe.as_json(), indent=2, ensure_ascii=False) + "\n"
    (out / RECIPE).write_text(recipe, encoding="utf-8")
    document = {"spec": asked.as_json(), **finished.as_json(), "folder": str(out)}
    (out / RESULT).write_text(json.dumps(plain(document), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / STATE).unlink(missing_ok=True)
    answer(_told(finished, out), document, as_json=as_json)


def _run(session: Session, out: Path, *, as_json: bool) -> Finished:
    """Go through a run, writing events down; raises KeyboardInterrupt after Ctrl-C, with the state on the disk."""
    from merging_core.learning import Checked, Finished, Paused, Progress

    with (
        _interrupts() as interrupted,
        ProgressLine() as line,
        (out / EVENTS).open("a", encoding="utf-8") as events,
    ):

        def heed() -> Literal["go", "pause"]:
            return "pause" if interrupted.is_set() else "go"

        for event in session.events(heed):
            if not isinstance(event, Finished):
                events.write(json.dumps(event.as_json(), ensure_ascii=False) + "\n")
            if isinstance(event, Paused):
                session.state.save(out / STATE)
                raise KeyboardInterrupt
            if isinstance(event, Progress):
                line(event.step / max(1, event.steps), _progress(event))
            elif isinstance(event, Checked):
                session.state.save(out / STATE)
                events.flush()
                line.wipe()
                if not as_json:
                    typer.echo(_checked(event))
            elif isinstance(event, Finished):
                return event
    raise RuntimeError("a run ends with what became of it")


def _readable(bench: object, spec: LearnSpec, family: str | None) -> tuple[LearnSpec, tuple[AnyTask, ...]]:
    """Return the specification at commits of the Hub, all of it here, and the tasks that it names.

    Without names, they are those that the family's own experts among the models were fine-tuned on, or all.
    """
    from dataclasses import replace

    from merging_core.checkpoints.ref import parse_ref
    from merging_core.cli.downloads import readable_recipe
    from merging_core.cli.targets import Bench

    if not isinstance(bench, Bench):
        raise TypeError("a bench")
    recipe = readable_recipe(spec.recipe(), bench.catalog)
    spec = replace(spec, base=str(recipe.base), models=tuple(entry.ref for entry in recipe.models))
    chosen = bench.family(bench.catalog.open(spec.base), family)
    plain_refs = [str(parse_ref(ref).unpinned) for ref in spec.models]
    own = dict.fromkeys(chosen.expert_task[ref] for ref in plain_refs if ref in chosen.expert_task)
    tasks = bench.tasks(chosen, spec.tasks or tuple(own))
    return replace(spec, tasks=tuple(task.name for task in tasks)), tasks


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets, so that a step is never cut in two; a second one ends at once."""
    event = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def heard(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    alone = threading.current_thread() is threading.main_thread()
    if alone:
        signal.signal(signal.SIGINT, heard)
    try:
        yield event
    finally:
        if alone:
            signal.signal(signal.SIGINT, before)


def _progress(event: Progress) -> str:
    left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
    loss = "" if event.loss is None else f", loss {event.loss:.4f}"
    return f"{event.phase.lower()}: step {event.step} of {event.steps}{loss}{left}"


def _checked(event: Checked) -> str:
    report = event.report
    best = "  best so far" if event.best else ""
    numbers = f"{percent(report.average)} % {interval(report.average_interval)}  loss {report.loss:.4f}"
    return f"step {event.step:>6}  validation {report.subset} {numbers}  n {report.n}{best}"


def _told(finished: Finished, out: Path) -> str:
    from merging_core.evaluation.report import compare

    gain = compare(finished.after, finished.before).average
    low, high = (100 * end for end in gain.interval)
    ends = [
        f"{percent(report.average)} % {interval(report.average_interval)}"
        for report in (finished.before, finished.after)
    ]  # fmt: skip
    rows = [
        f"{out / RECIPE}: as after step {finished.kept_step} of {finished.step}, in {finished.seconds:.1f} s",
        f"validation, n {finished.after.n}: {ends[0]} at the start, {ends[1]} learned",
        f"difference, paired: {100 * gain.value:+.1f} points ({low:+.1f} to {high:+.1f})",
        f"learned from: {finished.split}"
        + (" (transductive: the inputs of the test split)" if finished.transductive else "")
        + (" (the examples that are shown here too)" if finished.seen else ""),
        *([f"the step was chosen by {finished.chosen_by}"] if finished.chosen_by else []),
        f"hash {finished.hash}",
    ]
    return "\n".join(rows)
