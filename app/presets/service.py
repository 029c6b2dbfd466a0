"""What the page asks about presets: which there are, and what loading one takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from app.live import Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.presets.reading import Preset, PresetTask
from app.studio.messages import MessageError, is_text, message_of
from app.tasks.roles import roles_of
from app.tasks.shelf import TaskShelf, VisitorsDoor
from app.tasks.spec import TaskSpec
from merging_core.errors import BasinError, HubAwayError, HubError, Problem, closest
from merging_core.hub.client import Hub
from merging_core.hub.data_ref import data_ref
from merging_core.hub.data_sets import DataSets
from merging_core.hub.download import check_space, free_bytes

__all__ = ["Presets"]

_AT_ONCE = 8
Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Presets:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(self, presets: Sequence[Preset], shelf: TaskShelf, hub: VisitorsDoor, scheduler: Scheduler) -> None:
        self._presets = {preset.name: preset for preset in presets}
        self._shelf = shelf
        self._hub = hub
        self._scheduler = scheduler

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"presets_list": self.list, "preset_look": self.look}

    @answers
    def list(self, visitor: str, message: object) -> Answer:
        """List the presets."""
        message_of(message, {})
        rows = [
            {"name": one.name, "title": one.title, "sentence": one.sentence, "source": dict(one.source)}
            for one in self._presets.values()
        ]
        return {"presets": rows}

    @answers_in_turn
    async def look(self, visitor: str, message: object) -> Answer:
        """Resolve everything that a preset names, and say how much loading it downloads.

        Without a network that is one sentence, and not one for each repository.
        """
        name = message_of(message, {"name": (True, "name is a preset's", is_text(40))})["name"]
        if name not in self._presets:
            fix = closest(name, self._presets)
            raise MessageError(Problem("the preset is one that there is", name, "message.name", fix))

        def work(cancelled: Cancelled) -> Answer:
            return self._resolved(self._presets[name])

        return await asyncio.wrap_future(self._scheduler.submit(visitor, "preset", "preset", 0, work))

    def _resolved(self, preset: Preset) -> Answer:
        hub = self._hub.for_caller()
        experts = _all(lambda task: str(hub.pin(task.expert)), preset.tasks, preset.title)
        specs = _all(lambda task: self._spec(hub, preset, task), preset.tasks, preset.title)
        refs = [preset.base, *experts]
        missing = dict(zip(refs, _all(hub.missing_bytes, refs, preset.title), strict=True))
        data = sum(size for _, size in specs)
        check_space(hub.cache, sum(missing.values()) + data)
        return {
            "title": preset.title,
            "base": preset.base,
            "experts": [{"ref": ref, "task": spec.name} for ref, (spec, _) in zip(experts, specs, strict=True)],
            "tasks": [spec.name for spec, _ in specs],
            "specs": [spec.as_json() for spec, _ in specs],
            "missing": [ref for ref, size in missing.items() if size],
            "waiting": [spec.as_json() for spec, _ in specs if not self._shelf.is_prepared(spec)],
            "bytes": {"models": sum(missing.values()), "data": data},
            "free": free_bytes(hub.cache),
        }

    def _spec(self, hub: Hub, preset: Preset, task: PresetTask) -> tuple[TaskSpec, int]:
        """Return the task of a preset's data set, and the bytes that preparing it downloads."""
        sets = DataSets(hub)
        found = sets.list(data_ref(task.data))
        spec = TaskSpec(
            source=found.ref.text, head="zero_shot", model=preset.head, config=task.part, classes=task.classes,
            at_most=preset.examples,
        )  # fmt: skip
        roles = roles_of(found.of(task.part), {}, spec.title)
        files = [file for shards in roles.values() for file in shards]
        return spec, 0 if self._shelf.is_prepared(spec) else sets.missing_bytes(found.ref, files)


def _all(ask: Callable[[Asked], Found], things: Sequence[Asked], title: str) -> list[Found]:
    """Ask for several things at once.

    Raises: the errors of all of them as one; while the Hub is away, that once.
    """

    def tried(thing: Asked) -> Found | BasinError:
        try:
            return ask(thing)
        except BasinError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="basin-preset") as pool:
        found = list(pool.map(tried, things))
    errors = [one for one in found if isinstance(one, BasinError)]
    away = next((error for error in errors if isinstance(error, HubAwayError)), None)
    if away is not None:
        raise HubAwayError(*(replace(problem, where=title) for problem in away.problems[:1]))
    if errors:
        raise HubError(*dict.fromkeys(problem for error in errors for problem in error.problems))
    return [one for one in found if not isinstance(one, BasinError)]
