"""What the page asks about learning: what can be learned, and to start, watch, pause, stop, go on with or delete it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.charts import learning as learning_charts
from app.families import Family
from app.hub.source import VisitorsHub
from app.jobs import Job, JobError, Jobs
from app.learned import learned_of
from app.learning import work
from app.learning.example import example
from app.learning.experts import shelved
from app.learning.files import WISHES
from app.learning.form import offer, own_tasks, spec_of
from app.learning.numbers import numbers_of
from app.learning.shelf import Run, RunError, Runs
from app.learning.tail import Tails
from app.live import BusyError, Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.settings import Settings
from app.state import StudioState, parse_state
from app.studio.here import check_here
from app.studio.messages import is_text, message_of
from app.studio.workbench import Models, Workbench
from app.uploads.shelf import Uploads
from merging_core.checkpoints.reader import CONFIG_NAME
from merging_core.checkpoints.ref import parse_ref
from merging_core.errors import BasinError, Problem
from merging_core.learning import LearnSpec, learn_method, learn_methods, parse_spec
from merging_core.recipes import parse_recipe
from merging_core.recipes.resolving import references

__all__ = ["KIND", "Learning"]

KIND = "learn"
"""The kind of these jobs."""
_STOPPED = "a stop of the server"
_WISHES = (*WISHES, "go")


class Learning:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(  # noqa: PLR0913
        self,
        workbench: Workbench,
        models: Models,
        errands: Scheduler,
        jobs: Jobs,
        runs: Runs,
        settings: Settings,
        *,
        uploads: Uploads | None = None,
        hub: VisitorsHub | None = None,
    ) -> None:
        self._workbench = workbench
        self._models = models
        self._errands = errands
        self._jobs = jobs
        self._runs = runs
        self._settings = settings
        self._uploads = uploads
        self._hub = hub
        self._tails = Tails()

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "learn_offer": self.offer,
            "learn_start": self.start,
            "learn_runs": self.list,
            "learn_watch": self.watch,
            "learn_example": self.example,
            "learn_wish": self.wish,
            "learn_delete": self.delete,
            "learn_bring": self.bring,
        }

    @answers
    def offer(self, visitor: str, message: object) -> Answer:
        """Say what can be learned, and from which tasks on the state's models."""
        fields = message_of(message, {"state": _NEEDED_STATE})
        state = parse_state(fields["state"], self._workbench.families)
        family = family_named(self._workbench.families, state.family)
        own = own_tasks(state, family)
        tasks = [{"task": name, "own": name in own} for name in family.tasks]
        return {**offer(), "tasks": tasks}

    @answers_in_turn
    async def start(self, visitor: str, message: object) -> Answer:
        """Begin a run on the models of a state."""
        fields = message_of(message, {"state": _NEEDED_STATE, "spec": (True, "spec is an object", _is_object)})
        state = parse_state(fields["state"], self._workbench.families)

        def begin(cancelled: Cancelled) -> Run:
            run, _ = self.prepared(visitor, state, fields["spec"])
            try:
                return self._begin(run, state)
            except BasinError:
                self._runs.forget(run)
                raise

        run = await asyncio.wrap_future(self._errands.submit(visitor, KIND, KIND, 0, begin))
        return {"run": self._shown(run)}

    @answers
    def list(self, visitor: str, message: object) -> Answer:
        """List the visitor's runs, the newest first."""
        message_of(message, {})
        return {"runs": [self._shown(run) for run in self._runs.of(visitor)]}

    @answers
    def watch(self, visitor: str, message: object) -> Answer:
        """Say how a run stands; its numbers and charts where they are not those that the page has seen."""
        fields = message_of(
            message,
            {
                "run": (True, "run is the id of a run", is_text(64)),
                "seen": (False, "seen is what the last answer said of it", is_text(64)),
            },
        )
        run = self._runs.get(visitor, fields["run"])
        shown = self._shown(run)
        run = self._runs.get(visitor, run.id)
        files = self._runs.files(run)
        lines, now = self._tails.lines(files), files.read("now")
        seen = f"{run.starts} {len(lines)} {(now or {}).get('step')} {shown['state']}"
        answer: Answer = {"run": shown, "seen": seen, "numbers": None, "figures": None, "result": None}
        if seen == fields["seen"]:
            return answer
        numbers = numbers_of(files.read("head") or {}, lines, now, self.about(run))
        return {
            **answer,
            "numbers": numbers,
            "figures": learning_charts.figures_of(numbers),
            "result": files.read("result"),
        }

    @answers
    def example(self, visitor: str, message: object) -> Answer:
        """Give a run that was recorded, for whoever has none yet."""
        message_of(message, {})
        return {"example": example()}

    @answers_in_turn
    async def wish(self, visitor: str, message: object) -> Answer:
        """Pause a run, end it with the best so far, or let it go on."""
        fields = message_of(
            message,
            {
                "run": (True, "run is the id of a run", is_text(64)),
                "wish": (True, f"wish is one of {', '.join(_WISHES)}", lambda value: value in _WISHES),
            },
        )
        run = self._runs.get(visitor, fields["run"])
        what: str = fields["wish"]

        def act(cancelled: Cancelled) -> Run:
            return self._wished(self._settled(run), what)

        found = await asyncio.wrap_future(self._errands.submit(visitor, KIND, KIND, 0, act))
        return {"run": self._shown(found)}

    @answers
    def delete(self, visitor: str, message: object) -> Answer:
        """Delete a run, stopping it where it goes on; list the others."""
        fields = message_of(message, {"run": (True, "run is the id of a run", is_text(64))})
        run = self._settled(self._runs.get(visitor, fields["run"]))
        if (job := self._job(run)) is not None:
            self._jobs.cancel(visitor, job.id)
        self._runs.forget(run)
        return {"runs": [self._shown(other) for other in self._runs.of(visitor)]}

    @answers
    def bring(self, visitor: str, message: object) -> Answer:
        """Take what was learned elsewhere from an upload of the visitor, which goes."""
        fields = message_of(message, {"upload": (True, "upload is a reference to an upload", is_text(120))})
        given = self._uploads.of(visitor) if self._uploads is not None else ()
        if self._uploads is None or fields["upload"] not in [one.ref for one in given if one.form == "checkpoint"]:
            must, fix = "what was learned is one of your uploads", "send the file again"
            raise RunError(Problem(must, "another one", "upload", fix))
        ref = self._runs.bring(self._uploads.checkpoints.open(parse_ref(fields["upload"])))
        self._uploads.delete(visitor, fields["upload"])
        return {"learned": ref}

    def _wished(self, run: Run, what: str) -> Run:
        files, job = self._runs.files(run), self._job(run)
        if files.read("result") is not None:
            return self._with_expert(run)
        if job is not None and job.state == "queued" and what == "pause":
            self._jobs.cancel(run.visitor, job.id)
            return run
        files.wish(what if what in WISHES else None)
        if job is not None or what == "pause":
            return run
        state = parse_state(run.state, self._workbench.families)
        family = family_named(self._workbench.families, state.family)
        self._check_readable(state, family)
        return self._begin(run, state)

    def prepared(self, visitor: str, state: StudioState, given: dict[str, Any]) -> tuple[Run, dict[str, Any]]:
        """Make a run of what is asked for, and return it with what its job needs. Raises whatever is wrong with it."""
        family, spec = self._checked(state, given)
        run = self._runs.create(visitor, _title(spec, family), spec.as_json(), state.as_json())
        return run, self._payload(run, family)

    def _begin(self, run: Run, state: StudioState) -> Run:
        """Put a run into its lane, from where it stands."""
        run = self._runs.keep(run.changed(starts=run.starts + 1, problems=()))
        self._jobs.submit(
            run.visitor,
            title=run.title,
            work=work.NAME,
            payload=self._payload(run, family_named(self._workbench.families, state.family)),
            key=_key(run),
            kind=KIND,
            uses=references(state.recipe),
        )
        return run

    def _checked(self, state: StudioState, given: dict[str, Any]) -> tuple[Family, LearnSpec]:
        """Check everything that the caller may read, and what is asked for. Raises whatever is wrong with either."""
        family = family_named(self._workbench.families, state.family)
        tasks = self._check_readable(state, family)
        spec = spec_of(given, state, family, tasks)
        if spec.info.makes == "recipe":
            self._models.engine.plan(spec.recipe())
        return family, spec

    def _check_readable(self, state: StudioState, family: Family) -> Any:
        check_here(references(state.recipe), self._models.engine.opened)
        return self._models.tasks_of(family)

    def _payload(self, run: Run, family: Family) -> dict[str, Any]:
        settings = self._settings
        return {
            "title": run.title,
            "run": str(self._runs.files(run).folder.absolute()),
            "spec": run.spec,
            "specs": [spec.as_json() for spec in family.specs],
            "tasks_root": str(self._models.shelf.root.absolute()),
            "zoo": str(settings.zoo.absolute()),
            "models": str(settings.models.absolute()) if settings.models is not None else None,
            "uploads": str(self._uploads.root.absolute()) if self._uploads is not None else None,
            "hub_cache": str(self._hub.cache.absolute()) if self._hub is not None else None,
            "learned": str(self._runs.learned.root.absolute()),
            "device": self._models.engine.device.type,
            "memory": settings.memory_budget,
            "seconds": self._jobs.limits.seconds,
        }

    def _job(self, run: Run) -> Job | None:
        """Return the job that works on a run, where one waits or runs."""
        jobs = self._jobs.of(run.visitor, KIND)
        return next((job for job in jobs if job.key == _key(run) and job.state in ("queued", "running")), None)

    def _settled(self, run: Run) -> Run:
        """Take over what became of a run's job, once it has ended."""
        ended = next((job for job in self._jobs.of(run.visitor, KIND) if job.key == _key(run)), None)
        if ended is None or ended.state in ("queued", "running"):
            return run
        result = self._runs.files(run).read("result") or {}
        learned = learned_of(parse_recipe(result["recipe"])) if "recipe" in result else ()
        run = self._with_expert(self._runs.keep(run.changed(problems=ended.problems, learned=learned)))
        with suppress(JobError, BusyError):
            self._jobs.forget(run.visitor, ended.id)
        return run

    def _with_expert(self, run: Run) -> Run:
        """Put the expert that a run made among the visitor's uploads; a run keeps what keeps it from that."""
        folder = self._runs.files(run).expert
        if run.expert is not None or self._uploads is None or not (folder / CONFIG_NAME).is_file():
            return run
        task = str(run.spec["tasks"][0]).rpartition("/")[2]
        try:
            ref = shelved(self._uploads, run.visitor, folder, f"{task}-expert")
        except BasinError as error:
            return self._runs.keep(run.changed(problems=tuple(problem.as_json() for problem in error.problems)))
        return self._runs.keep(run.changed(expert=ref, problems=()))

    def _shown(self, run: Run) -> dict[str, Any]:
        """Return a run as the page lists it."""
        run = self._settled(run)
        files, job = self._runs.files(run), self._job(run)
        result, now = files.read("result"), files.read("now") or {}
        stand = files.read("stand") or {}
        stopped = any(problem.get("got") == _STOPPED for problem in run.problems)
        studio = {**run.state, "recipe": result["recipe"]} if result and "recipe" in result else None
        return {
            "id": run.id,
            "title": run.title,
            "method": run.method,
            "spec": run.spec,
            "created": run.created,
            "state": _state(job, files.wished(), finished=result is not None, failed=run.problems and not stopped),
            "interrupted": stopped and job is None,
            "ahead": self._jobs.ahead(job) if job is not None else 0,
            "step": result["step"] if result else now.get("step", 0) if job is not None else stand.get("step", 0),
            "steps": now.get("steps") or run.spec["steps"],
            "phase": now.get("phase", ""),
            "seconds_left": now.get("seconds_left") if job is not None else None,
            "yardstick": _yardstick(run),
            "gain": result["over_baseline"] if result else None,
            "studio": studio,
            "expert": run.expert,
            "problems": [] if stopped else list(run.problems),
        }

    def about(self, run: Run) -> dict[str, Any]:
        """Return what the charts say of a run beside its numbers."""
        spec = parse_spec(run.spec)
        family = family_named(self._workbench.families, run.state["family"])
        tasks = [{"task": name, "title": _task_title(family, name), "colour": family.colour_of_task(name)} for name in
                 spec.tasks]  # fmt: skip
        experts = [{"title": family.title_of(ref), "colour": family.colour_of(ref)} for ref in spec.models]
        return {
            "tasks": tasks,
            "experts": experts,
            "teachers": [task for task in tasks if task["task"] in (spec.learn_from or spec.tasks)],
            "objective": spec.info.objective,
            "split": spec.split,
            "subset": spec.subset,
            "transductive": spec.transductive,
            "linearised": spec.info.linearised,
            "seen": spec.seen and spec.info.objective is not None,
            "keep": spec.keep,
            "yardstick": _yardstick(run),
            "steps": spec.steps,
        }


def _state(job: Job | None, wished: str | None, *, finished: bool, failed: object) -> str:
    if job is None:
        return "finished" if finished else "failed" if failed else "paused"
    if finished:
        return "ending"
    if job.state == "queued":
        return "waiting"
    return {"pause": "pausing", "stop": "stopping"}.get(wished or "", "running")


def _title(spec: LearnSpec, family: Family) -> str:
    makes_expert = spec.info.makes == "expert"
    titles = [_task_title(family, name) for name in spec.tasks] if makes_expert else _experts(spec, family)
    few = " and ".join(titles) if len(titles) < 3 else f"{len(titles)} {'tasks' if makes_expert else 'experts'}"
    return f"{learn_method(spec.method).title} on {few}"


def _experts(spec: LearnSpec, family: Family) -> list[str]:
    return [family.title_of(ref) for ref in spec.models]


def _yardstick(run: Run) -> str:
    trains = [info.name for info in learn_methods() if info.makes == "expert"]
    return "the base" if run.method in trains else "task arithmetic"


def _task_title(family: Family, name: str) -> str:
    own = next((spec.title for spec in family.specs if spec.name == name), None)
    return family.title_of_task(name, own or name.rpartition("/")[2].replace("-", " ").capitalize())


def _key(run: Run) -> str:
    return f"learn {run.id} {run.starts}"


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_NEEDED_STATE = (True, "state is an object", _is_object)
