"""What the page asks about tasks of a visitor's own: look at data, have a task prepared, list those there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.callers import caller
from app.families import Family
from app.job_desk import shown
from app.jobs import Job, Jobs
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers_in_turn
from app.own_family import LONGEST_NAME, family_named
from app.studio.description import describe_task
from app.studio.messages import MessageError, is_text, message_of
from app.studio.workbench import Models
from app.tasks import work
from app.tasks.budget import check_room
from app.tasks.heads import heads_among
from app.tasks.local import local_data, local_names
from app.tasks.looking import look_at_hub, look_at_path
from app.tasks.roles import roles_of
from app.tasks.shelf import VisitorsDoor
from app.tasks.sizes import Size, examples_of, side_of, words_of
from app.tasks.spec import TaskSpec, data_name, parse_spec
from app.tasks.uploaded import data_of, is_upload, source_of, uploaded_path
from app.uploads.shelf import Uploads
from merging_core.checkpoints.ref import ref_of_url
from merging_core.errors import BasinError, EvaluationError, Problem
from merging_core.evaluation.picture_tasks import check_memory
from merging_core.evaluation.prompt_templates import templates_for
from merging_core.hub.data_ref import data_ref, data_ref_of_address
from merging_core.hub.data_sets import DataSets
from merging_core.hub.download import check_space

__all__ = ["MOST_SPECS", "TaskDesk", "TaskPlaces"]

MOST_SPECS = 16
"""Tasks that are prepared by one job."""
DEFAULT_BUDGET = 10_000_000_000
"""Bytes that all prepared tasks may take together."""
_LONGEST = 300
_MOST_ASKED = 64
_SPLITS = 4


class TaskPlaces:
    """Where things lie that a job of preparing needs."""

    def __init__(  # noqa: PLR0913
        self,
        zoo: Path,
        models: Path | None,
        data: Path | None,
        uploads: Uploads | None = None,
        budget: int = DEFAULT_BUDGET,
    ) -> None:
        self.zoo, self.models, self.data, self.uploads, self.budget = zoo, models, data, uploads, budget


class TaskDesk:
    """Methods take a visitor's id and a message, and return an answer; none raises.

    `scheduler`: for what waits for the Hub, so that no slider waits for it. Whoever deletes an upload deletes the tasks
    that were made of it.
    """

    def __init__(  # noqa: PLR0913
        self,
        models: Models,
        hub: VisitorsDoor | None,
        places: TaskPlaces,
        families: tuple[Family, ...],
        scheduler: Scheduler,
        jobs: Jobs,
    ) -> None:
        self._open = models.engine.opened
        self._shelf = models.shelf
        self._hub = hub
        self._places = places
        self._families = families
        self._scheduler = scheduler
        self._jobs = jobs
        if places.uploads is not None:
            places.uploads.before_going(models.shelf.drop)

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"task_look": self.look, "task_prepare": self.prepare, "tasks_list": self.list}

    @answers_in_turn
    async def look(self, visitor: str, message: object) -> Answer:
        """Say what data hold and what would be made of them; a branch is resolved to a commit once, here."""
        fields = message_of(
            message,
            {
                "source": (True, "source is a data set of the Hub, an upload, or local: and a name", is_text(_LONGEST)),
                "part": (False, "part is text", is_text(100)),
                "model": (False, "model is a reference or a model's page", is_text(_LONGEST)),
                "models": (False, f"models are at most {_MOST_ASKED} references", _are_refs),
            },
        )

        def work(cancelled: Cancelled) -> Answer:
            source = fields["source"].strip()
            if is_upload(source):
                found = self._look_at_upload(visitor, source_of(source))
            elif source.startswith("local:"):
                path = local_data(self._data(), source.removeprefix("local:"))
                found = look_at_path(path, source, path.stem)
            else:
                sets = DataSets(self._opened().for_caller())
                found = look_at_hub(sets, data_ref_of_address(source), fields["part"] or None)
            prompts, words = templates_for(data_name(found["source"]))
            model = self._pinned(fields["model"]) if fields["model"] else None
            heads = heads_among(fields["models"] or (), found["proposed"]["kind"] or "pictures", self._open)
            said = {"count": len(prompts), "first": prompts[0], "words": words}
            return {**found, "prompts": said, "model": model, "heads": heads}

        return await self._turn(visitor, "task look", work)

    @answers_in_turn
    async def prepare(self, visitor: str, message: object) -> Answer:
        """Have tasks prepared by one job; the same tasks again are the same job while it runs."""
        fields = message_of(
            message,
            {
                "spec": (False, "spec is an object", lambda value: isinstance(value, dict)),
                "specs": (
                    False,
                    f"specs are 1 to {MOST_SPECS} objects",
                    lambda value: isinstance(value, list) and 1 <= len(value) <= MOST_SPECS,
                ),
            },
        )
        if (fields["spec"] is None) == (fields["specs"] is None):
            raise MessageError(Problem("one task or several are sent", "neither or both", "message"))
        specs = [parse_spec(one) for one in (fields["specs"] or [fields["spec"]])]

        def begin(cancelled: Cancelled) -> Answer:
            return {"job": shown(self._jobs, self._begin(visitor, specs)), "tasks": [_named(spec) for spec in specs]}

        return await self._turn(visitor, "task prepare", begin)

    @answers_in_turn
    async def list(self, visitor: str, message: object) -> Answer:
        """List the tasks that this visitor had prepared, and those of a family, as far as the visitor may have them."""
        fields = message_of(
            message, {"family": (False, f"family has at most {LONGEST_NAME} characters", is_text(LONGEST_NAME))}
        )
        specs = list(family_named(self._families, fields["family"]).specs) if fields["family"] else []
        for job in self._jobs.of(visitor, "task"):
            made = [parse_spec(one) for one in (job.result or {}).get("specs", [])]
            specs += [spec for spec in made if self._still_has(visitor, spec)]

        def look(cancelled: Cancelled) -> Answer:
            rows = [self._row(spec) for spec in {spec.digest: spec for spec in specs}.values()]
            names = local_names(self._places.data) if self._places.data is not None else ()
            mine = [{"source": source_of(one.ref), "name": one.name} for one in data_of(self._places.uploads, visitor)]
            local = [f"local:{name}" for name in names]
            return {"tasks": rows, "local": local, "uploads": mine, "hub": self._hub is not None}

        return await self._turn(visitor, "tasks list", look)

    def _begin(self, visitor: str, specs: Sequence[TaskSpec]) -> Job:
        """Ask for access to everything, see whether the disk has room, and submit the job."""
        problems: list[Problem] = []
        errors: list[BasinError] = []
        missing = 0
        for spec in specs:
            try:
                self._shelf.admit(spec)
                missing += 0 if self._shelf.is_prepared(spec) else self._missing(spec)
            except BasinError as error:
                errors.append(error)
                problems += [problem for problem in error.problems if problem not in problems]
        if errors:
            raise type(errors[0])(*problems)
        self._check_room([spec for spec in specs if not self._shelf.is_prepared(spec)])
        hub = self._hub.for_caller() if self._hub is not None else None
        if hub is not None:
            check_space(hub.cache, missing)
        key = " ".join(["task", *(spec.digest for spec in specs)])
        for job in self._jobs.of(visitor, "task"):
            if job.key == key and job.state == "done" and not all(map(self._shelf.is_prepared, specs)):
                self._jobs.forget(visitor, job.id)
        title = specs[0].title + (f" and {len(specs) - 1} more" if len(specs) > 1 else "")
        places = self._places
        waiting = [spec for spec in specs if not self._shelf.is_prepared(spec)]
        named = dict.fromkeys(ref for spec in waiting for ref in (spec.source, spec.model))
        sources = {spec.source for spec in waiting if is_upload(spec.source)}
        uploaded = {source: str(uploaded_path(places.uploads, source)) for source in sources}
        return self._jobs.submit(
            visitor,
            title=title,
            work=work.NAME,
            payload={
                "specs": [spec.as_json() for spec in specs],
                "root": str(self._shelf.root.absolute()),
                "zoo": str(places.zoo),
                "models": str(places.models) if places.models is not None else None,
                "data": str(places.data) if places.data is not None else None,
                "uploaded": uploaded,
                "budget": places.budget,
                "uploads": str(places.uploads.root.absolute()) if places.uploads is not None else None,
                "hub": None
                if hub is None
                else {
                    "endpoint": hub.endpoint,
                    "cache": str(hub.cache.absolute()),
                    "largest": hub.largest,
                    "budget": hub.budget,
                },
            },
            key=key,
            kind="task",
            secret=caller().token,
            uses=tuple(ref for ref in named if is_upload(ref)),
        )

    def _check_room(self, specs: Sequence[TaskSpec]) -> None:
        """Raise EvaluationError where the pictures of the tasks are more than memory or disk may hold."""
        sides = {spec: side_of(self._open(spec.model)) for spec in specs if spec.kind == "pictures"}
        most = {spec: Size(_SPLITS * spec.at_most, side) for spec, side in sides.items() if side is not None}
        try:
            self._fit(most)
        except EvaluationError:
            self._fit({spec: Size(examples_of(self._rows(spec), spec.at_most), one.side) for spec, one in most.items()})

    def _fit(self, sizes: Mapping[TaskSpec, Size]) -> None:
        for spec, size in sizes.items():
            check_memory(size.pictures, size.side, spec.title)
        if sizes:
            total, keep = sum(size.bytes for size in sizes.values()), {spec.digest for spec in sizes}
            check_room(self._shelf.root, total, self._places.budget, keep, words_of(sizes.values()))

    def _rows(self, spec: TaskSpec) -> dict[str, int]:
        """Return how many examples the data of a task have in each role, by their headers."""
        if spec.source.startswith("hub:"):
            sets = DataSets(self._opened().for_caller())
            found = sets.list(data_ref(spec.source))
            roles = roles_of(found.of(spec.config), dict(spec.splits), spec.title)
            ends = sets.ends(found.ref, [file for shards in roles.values() for file in shards])
            return {
                role: sum(ends[file.name].rows for file in shards if file.name in ends)
                for role, shards in roles.items()
            }
        path = self._path(spec.source)
        return {row["role"]: row["rows"] for row in look_at_path(path, spec.source, spec.title)["splits"]}

    def _path(self, source: str) -> Path:
        """Return where data lie that are not of the Hub."""
        if is_upload(source):
            return uploaded_path(self._places.uploads, source)
        return local_data(self._data(), source.removeprefix("local:"))

    def _missing(self, spec: TaskSpec) -> int:
        """Return the bytes that preparing a task downloads; finds a part or a split that is not there."""
        if not spec.source.startswith("hub:"):
            self._path(spec.source)
            return 0
        sets = DataSets(self._opened().for_caller())
        found = sets.list(data_ref(spec.source))
        roles = roles_of(found.of(spec.config), dict(spec.splits), spec.title)
        return sets.missing_bytes(found.ref, [file for shards in roles.values() for file in shards])

    def _look_at_upload(self, visitor: str, source: str) -> dict[str, Any]:
        """Describe an upload, under the name that this visitor gave it."""
        path = uploaded_path(self._places.uploads, source)
        mine = (one.name for one in data_of(self._places.uploads, visitor) if source_of(one.ref) == source)
        found = look_at_path(path, source, next(mine, source[:15]))
        if path.is_file() and found["proposed"]["kind"] == "pictures" and not found["columns"]:
            must, fix = "pictures lie beside the table that names them", "upload one zip archive of both"
            raise EvaluationError(Problem(must, "a table alone", found["title"], fix))
        return found

    def _still_has(self, visitor: str, spec: TaskSpec) -> bool:
        """Say whether the uploads that a task is made of are this visitor's, and still there."""
        if not spec.uploads or self._places.uploads is None:
            return not spec.uploads
        return {source_of(one.ref) for one in self._places.uploads.of(visitor)} >= set(spec.uploads)

    def _row(self, spec: TaskSpec) -> dict[str, Any]:
        """Describe a task, prepared or not; of one that this visitor may not have, say why."""
        row = {**_named(spec), "prepared": False, "problems": []}
        try:
            self._shelf.admit(spec)
            return {**row, **describe_task(self._shelf.task(spec)), "prepared": True}
        except EvaluationError:
            return row
        except BasinError as error:
            return {**row, "problems": [problem.as_json() for problem in error.problems]}

    def _pinned(self, model: str) -> str:
        ref = ref_of_url(model)
        return str(self._opened().for_caller().pin(ref)) if ref.scheme == "hub" else str(ref)

    def _data(self) -> Path:
        if self._places.data is None:
            must, fix = "this server offers data of its own", "choose a data set of the Hub"
            raise EvaluationError(Problem(must, "one that does not", "source", fix))
        return self._places.data

    def _opened(self) -> VisitorsDoor:
        if self._hub is None:
            must = "this server uses models and data of the Hub"
            raise EvaluationError(Problem(must, "a server that does not", "source"))
        return self._hub

    async def _turn(self, visitor: str, kind: str, work: Callable[[Cancelled], Answer]) -> Answer:
        return await asyncio.wrap_future(self._scheduler.submit(visitor, kind, kind, 0, work))


def _are_refs(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_ASKED and all(map(is_text(_LONGEST), value))


def _named(spec: TaskSpec) -> dict[str, Any]:
    return {"name": spec.name, "title": spec.title, "spec": spec.as_json()}
