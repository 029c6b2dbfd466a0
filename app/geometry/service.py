"""What the page asks about studies: which there are, more of one, one as a job, and a link to one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from app.charts.geometry.registry import drawing
from app.geometry import work
from app.geometry.jobs import KIND, StudyJobs
from app.geometry.links import query_of
from app.geometry.looking import Looks
from app.geometry.memories import Memories
from app.geometry.messages import look_message, pictures_message, state_and_spec, state_of, watch_message
from app.geometry.pictures import beginnings_of, changed_of, sprites_of
from app.geometry.question import Question, about, bench_for, labelled, question_of, tokenizer_for
from app.job_desk import shown
from app.jobs import Job, JobError, Jobs
from app.learned import LearnedShelf, learned_of
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.state import StudioState, parse_state
from app.studio.messages import MessageError
from app.studio.slow_merges import SlowMerges
from app.studio.workbench import Workbench
from merging_core.analysis.mechanisms.mechanisms import MECHANISMS, changes_of
from merging_core.analysis.studies.contract import Study
from merging_core.analysis.studies.registry import studies
from merging_core.analysis.studies.spec import SUBSET, StudySpec
from merging_core.errors import Problem
from merging_core.recipes.recipe import SEED, Recipe

__all__ = ["Geometry"]


class Geometry:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(  # noqa: PLR0913
        self,
        workbench: Workbench,
        scheduler: Scheduler,
        errands: Scheduler,
        slow: SlowMerges,
        jobs: Jobs,
        study_jobs: StudyJobs,
        memories: Memories,
        learned: LearnedShelf | None = None,
    ) -> None:
        self._workbench = workbench
        self._families = workbench.families
        self._scheduler = scheduler
        self._errands = errands
        self._slow = slow
        self._jobs = jobs
        self._study_jobs = study_jobs
        self._memories = memories
        self._looks = Looks(memories)
        self._learned = learned

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "geometry_offer": self.offer,
            "geometry_look": self.look,
            "geometry_start": self.start,
            "geometry_watch": self.watch,
            "geometry_share": self.share,
            "geometry_pictures": self.pictures,
            "geometry_changes": self.changes,
        }

    @answers
    def offer(self, visitor: str, message: object) -> Answer:
        """Say which questions there are, with their controls and figures, and what they can be asked of."""
        state = parse_state(state_of(message), self._families)
        family = family_named(self._families, state.family)
        refs = [{"ref": ref, "title": family.title_of(ref), "colour": family.colour_of(ref)} for ref in family.refs]
        return {
            "studies": [_offered(info) for info in studies()],
            "subset": SUBSET.as_json(),
            "seed": SEED.as_json(),
            "models": refs,
            "tasks": list(family.tasks),
        }

    @answers_in_turn
    async def look(self, visitor: str, message: object) -> Answer:
        """Go on with a study for a moment; asked again until it is complete, or what comes next takes long."""
        asked = look_message(message)
        state = parse_state(asked.state, self._families)
        question = question_of(asked.spec, state, self._families)

        def work(cancelled: Cancelled) -> Answer:
            begun = time.monotonic()
            bench = replace(bench_for(question, self._models), cancelled=cancelled)
            found = self._looks.more(question.spec, bench, question.spec.identity(bench), cancelled)
            return {
                **self._told(question, found.numbers, found.share),
                "complete": found.complete,
                "long": found.long,
                "milliseconds": round(1000 * (time.monotonic() - begun), 1),
            }

        page = f"study {asked.page}"
        await self._ready(visitor, page, asked.sequence, state, question)
        answer = await asyncio.wrap_future(self._scheduler.submit(visitor, page, KIND, asked.sequence, work))
        return {"seq": asked.sequence, **answer}

    @answers_in_turn
    async def start(self, visitor: str, message: object) -> Answer:
        """Go on with a study as a job; the same again is the same job while it waits, runs or is whole."""
        given = state_and_spec(message)
        state = parse_state(given["state"], self._families)
        question = question_of(given["spec"], state, self._families)

        def begin(cancelled: Cancelled) -> Job:
            identity = question.spec.identity(bench_for(question, self._models))
            adapted = self._is_transductive(question.spec)
            return self._study_jobs.begin(visitor, question, state.as_json(), identity, transductive=adapted)

        job = await asyncio.wrap_future(self._errands.submit(visitor, KIND, KIND, 0, begin))
        return {"job": shown(self._jobs, job)}

    @answers
    def watch(self, visitor: str, message: object) -> Answer:
        """Say how a study's job stands; its numbers and figures where they are not those that the page has seen."""
        asked = watch_message(message)
        job = self._jobs.get(visitor, asked["job"])
        if job.kind != KIND or job.asked is None:
            raise JobError(Problem("the job is a study", job.kind, "job"))
        with self._jobs.reading(visitor, job.id) as folder:
            found = work.finding_in(folder)
        seen = f"{job.state} {found['count'] if found else 0}"
        if job.state not in ("queued", "running") and seen != asked["seen"]:
            self._memories.renew(job.asked["identity"])
        told: Answer = {"numbers": None, "figures": None, "tables": None, "spec": None}
        if found is not None and seen != asked["seen"]:
            state = parse_state(job.asked["state"], self._families)
            question = question_of(job.asked["spec"], state, self._families)
            told = self._told(question, found["numbers"], found["share"])
        share = found["share"] if found else 0.0
        complete = bool(found and found["complete"])
        return {"job": shown(self._jobs, job), "seen": seen, **told, "share": share, "complete": complete}

    @answers
    def share(self, visitor: str, message: object) -> Answer:
        """Write the state and a study of it as a query that opens both."""
        given = state_and_spec(message)
        state = parse_state(given["state"], self._families)
        question = question_of(given["spec"], state, self._families)
        for recipe in (state.recipe, *(model for model in question.spec.models if isinstance(model, Recipe))):
            self._workbench.named(replace(state, recipe=recipe))
        return {"query": query_of(state, question.spec)}

    @answers
    def pictures(self, visitor: str, message: object) -> Answer:
        """Show examples of a study that its numbers name."""
        asked = pictures_message(message)
        state = parse_state(asked.state, self._families)
        question = question_of(asked.spec, state, self._families)
        bench = bench_for(question, self._models)
        found = sprites_of(bench.tasks, question.spec.splits, asked.split, asked.examples)
        tokenizer = tokenizer_for(question, bench) if None in found["at"] else None
        if tokenizer is None:
            return {**found, "texts": [None] * len(asked.examples)}
        return {**found, "texts": beginnings_of(bench.tasks, asked.split, asked.examples, tokenizer)}

    @answers
    def changes(self, visitor: str, message: object) -> Answer:
        """Show examples of a study that changes pictures, as they are and changed."""
        asked = pictures_message(message)
        state = parse_state(asked.state, self._families)
        question = question_of(asked.spec, state, self._families)
        spec = question.spec
        if spec.info is not MECHANISMS:
            raise MessageError(Problem(f"{MECHANISMS.title} changes pictures", spec.info.title, "message.spec"))
        tasks = bench_for(question, self._models).tasks
        return changed_of(tasks, spec.splits, asked.split, asked.examples, changes_of(spec), spec.seed)

    @property
    def _models(self) -> Any:
        return self._workbench.models()

    async def _ready(self, visitor: str, page: str, sequence: int, state: StudioState, question: Question) -> None:
        """Wait for slow merges where no slider waits for them."""
        for model in question.spec.models:
            if isinstance(model, Recipe):
                await self._slow.ready(visitor, page, KIND, sequence, replace(state, recipe=model))

    def _is_transductive(self, spec: StudySpec) -> bool:
        """Say whether a merge among the models was learned from inputs of a test split."""
        merges = [model for model in spec.models if isinstance(model, Recipe)]
        learned = [ref for recipe in merges for ref in learned_of(recipe)]
        return self._learned is not None and self._learned.is_transductive(*learned)

    def _told(self, question: Question, numbers: Mapping[str, Any], share: float) -> Answer:
        """Return what the page shows of a finding."""
        drawn, spec = drawing(question.spec.study), question.spec
        return {
            "spec": spec.as_json(),
            "trains": spec.info.learns(spec.params),
            "about": about(question),
            "numbers": labelled(numbers, transductive=self._is_transductive(spec)),
            "figures": dict(drawn.draw(numbers, about(question))) if drawn is not None else {},
            "tables": {
                name: {"title": table.title, "header": list(table.header), "rows": [list(row) for row in table.rows]}
                for name, table in spec.info.tables(numbers).items()
            },
            "share": share,
        }


def _offered(info: Study) -> dict[str, Any]:
    drawn = drawing(info.name)
    return {**info.as_json(), "figures": [] if drawn is None else [figure.as_json() for figure in drawn.figures]}
