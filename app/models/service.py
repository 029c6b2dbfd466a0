"""Which checkpoints can be picked, and whether those that a visitor picked can be merged and measured together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from app.callers import Callers, caller
from app.families import Family
from app.hub.source import VisitorsHub
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.own_family import MOST_EXPERTS, family_named, own_name
from app.state import default_state
from app.studio.messages import MessageError, is_text, message_of
from app.studio.workbench import Numbers, Workbench
from app.tasks.spec import parse_spec
from app.uploads.shelf import Upload, Uploads
from merging_core.errors import Problem
from merging_core.hub.download import check_space, free_bytes

__all__ = ["Models"]

Rows = list[Numbers]
_REF = is_text(300)
_START_SECONDS = 3.0
"""What the process of a download takes to be there."""
_BYTES_PER_SECOND = 20e6
"""What a download is taken to bring; said as an estimate."""


class Models:
    """Methods take a visitor's id and a message, and return an answer; none raises.

    `hub`: what waits for the Hub waits in `network`, a scheduler of its own.
    """

    def __init__(
        self,
        workbench: Workbench,
        scheduler: Scheduler,
        callers: Callers | None = None,
        uploads: Uploads | None = None,
        hub: VisitorsHub | None = None,
        network: Scheduler | None = None,
    ) -> None:
        self._workbench = workbench
        self._scheduler = scheduler
        self._callers = callers or Callers()
        self._uploads = uploads
        self._hub = hub
        self._network = network or scheduler

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"models_list": self.list, "models_check": self.check}

    @answers
    def list(self, visitor: str, message: object) -> Answer:
        """List the checkpoints that can be picked, with the task that each was trained on."""
        message_of(message, {})
        rows = [row for family in self._workbench.families for row in _rows(family)]
        rows += [_loose_row(found["ref"], found["adapter"]) for found in self._workbench.offered()]
        rows += [_uploaded_row(upload) for upload in self._of(visitor) if upload.form == "checkpoint"]
        return {"checkpoints": rows, "most": MOST_EXPERTS, "hub": self._offer()}

    @answers_in_turn
    async def check(self, visitor: str, message: object) -> Answer:
        """Say what the picked checkpoints are, and open them as a family; or say everything that is wrong with them.

        While some are not downloaded, what headers tell is checked, and what the download takes is said.
        """
        fields = message_of(
            message,
            {
                "base": (False, "base is a reference, or null", _REF),
                "experts": (True, "experts are a list of {ref, task}", _are_experts),
                "tasks": (True, "tasks are a list of names", lambda value: _are_all(value, is_text(120))),
                "specs": (False, "specs are a list of tasks", lambda value: isinstance(value, list)),
            },
        )
        specs = [parse_spec(spec) for spec in (fields["specs"] or [])[: len(fields["tasks"])]]
        pairs = [(expert["ref"], expert["task"]) for expert in fields["experts"]]
        if fields["base"] in [ref for ref, _ in pairs]:
            must = "base and experts are different checkpoints"
            raise MessageError(Problem(must, fields["base"], "message.base", "leave it out of the experts"))
        family = family_named(self._workbench.families, own_name(fields["base"], pairs, fields["tasks"], specs))

        described = await self._told(visitor, family) if _of_the_hub(family) else []
        missing = [_missing(row) for row in described if row["missing"]]
        if not missing:
            described = await self._checked(visitor, family)
        answer = {"checkpoints": described, "state": default_state(family).as_json()}
        return {**answer, **self._price(missing)} if missing else answer

    async def _told(self, visitor: str, family: Family) -> Rows:
        """Return what headers say, waiting for the network where nobody else waits."""

        def work(cancelled: Cancelled) -> Rows:
            return self._workbench.survey(family)

        return await asyncio.wrap_future(self._network.submit(visitor, "models", "models", 0, work))

    async def _checked(self, visitor: str, family: Family) -> Rows:
        def work(cancelled: Cancelled) -> Rows:
            return self._workbench.check(family)

        return await asyncio.wrap_future(self._scheduler.submit(visitor, "models", "models", 0, work))

    def _offer(self) -> Numbers:
        """Say whether models of the Hub can be picked, and for whom it is asked."""
        who = caller()
        own = who.own and who.token is not None
        endpoint = self._hub.endpoint if self._hub is not None else None
        return {"offered": endpoint is not None, "endpoint": endpoint, "own": own, **self._callers.account()}

    def _price(self, missing: Rows) -> Numbers:
        """Say what the download takes; raises HubError where the disk has no room for it."""
        assert self._hub is not None, "only models of the Hub are ever missing"
        total = sum(row["bytes"] for row in missing)
        check_space(self._hub.cache, total)
        seconds = round(_START_SECONDS + total / _BYTES_PER_SECOND, 1)
        return {"missing": missing, "bytes": total, "free": free_bytes(self._hub.cache), "seconds": seconds}

    def _of(self, visitor: str) -> Sequence[Upload]:
        return self._uploads.of(visitor) if self._uploads is not None else ()


def _of_the_hub(family: Family) -> bool:
    return any(ref.startswith("hub:") for ref in family.refs)


def _missing(row: Numbers) -> Numbers:
    return {"ref": row["ref"], "label": row["label"], "bytes": row["missing"]}


def _rows(family: Family) -> list[Numbers]:
    """Return base and experts of a family as the page lists them."""
    base = [{"ref": family.base, "title": "base", "role": "base", "task": None}] if family.base else []
    experts = [
        {"ref": expert.ref, "title": expert.title, "role": "expert", "task": expert.task} for expert in family.experts
    ]
    about = {"family": family.name, "group": family.title, "tasks": list(family.tasks)}
    return [{**row, **about} for row in (*base, *experts)]


def _loose_row(ref: str, adapter: Numbers | None) -> Numbers:
    """Return a checkpoint that belongs to no family, and of which no task is known; `adapter` says what one is."""
    about: Numbers = {"role": "expert", "task": None, "family": "", "group": "Folders of this machine", "tasks": []}
    return {"ref": ref, "title": ref.rpartition("/")[2].rpartition(":")[2], "adapter": adapter, **about}


def _uploaded_row(upload: Upload) -> Numbers:
    """Return a checkpoint that this visitor uploaded."""
    return {**_loose_row(upload.ref, upload.about.get("adapter")), "group": "Your uploads"}


def _are_experts(value: object) -> bool:
    return _are_all(value, _is_expert) and isinstance(value, list) and len(value) <= MOST_EXPERTS


def _is_expert(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != {"ref", "task"}:
        return False
    return _REF(value["ref"]) and (value["task"] is None or is_text(120)(value["task"]))


def _are_all(value: object, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(check(one) for one in value)
