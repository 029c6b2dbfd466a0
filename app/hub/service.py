"""What the page asks of the Hub: find models, look at one before a download, and download.

Whatever waits for a network has a scheduler of its own, so that no slider waits for it; the newest search of a page
takes the place of those before it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, TypeVar

from app.callers import caller
from app.hub import work
from app.hub.source import VisitorsHub
from app.job_desk import shown
from app.jobs import Job, Jobs
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers_in_turn
from app.own_family import MOST_EXPERTS
from app.studio.description import describe_checkpoint
from app.studio.messages import MessageError, is_text, message_of
from merging_core.checkpoints.ref import Ref, parse_ref, ref_of_url
from merging_core.errors import BasinError, HubError, Problem
from merging_core.hub.download import check_space, folder_of
from merging_core.hub.headers import HubSurvey
from merging_core.hub.search import LAST_PAGE, SORTS

__all__ = ["HubDesk"]

_PAGE = 20
"""Models on a page of what was found."""
_LONGEST = 300
Result = TypeVar("Result")


class HubDesk:
    """Methods take a visitor's id and a message, and return an answer; none raises."""

    def __init__(self, hub: VisitorsHub, scheduler: Scheduler, jobs: Jobs) -> None:
        self._hub = hub
        self._scheduler = scheduler
        self._jobs = jobs
        self._arrivals = itertools.count(1)

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"hub_search": self.search, "hub_look": self.look, "hub_download": self.download}

    @answers_in_turn
    async def search(self, visitor: str, message: object) -> Answer:
        """Find models by words, task and library, or those that were fine-tuned from a base."""
        fields = message_of(
            message,
            {
                "text": (False, f"text has at most {_LONGEST} characters", is_text(_LONGEST)),
                "task": (False, "task is text", is_text(80)),
                "library": (False, "library is text", is_text(80)),
                "base": (False, "base is a model of the Hub", is_text(_LONGEST)),
                "sort": (False, f"sort is one of {', '.join(SORTS)}", lambda value: value in SORTS),
                "page": (False, f"page is a whole number from 0 to {LAST_PAGE}", _is_page),
                "tab": (False, "tab is text of at most 64 characters", is_text(64)),
            },
        )
        base = ref_of_url(fields["base"]).path if fields["base"] else None
        page = fields["page"] or 0

        def work(cancelled: Cancelled) -> Answer:
            hub = self._hub.for_caller()
            if base is not None:
                found = hub.experts_of(base, limit=_PAGE, page=page)
            else:
                found = hub.search(
                    fields["text"] or "",
                    task=fields["task"],
                    library=fields["library"],
                    sort=fields["sort"] or "downloads",
                    limit=_PAGE,
                    page=page,
                )
            entries = [entry.as_json() for entry in found.entries]
            return {"entries": entries, "page": found.page, "more": found.more, "unread": found.unread}

        number = next(self._arrivals)
        return await self._turn(visitor, f"hub search {fields['tab'] or ''}", "search", number, work)

    @answers_in_turn
    async def look(self, visitor: str, message: object) -> Answer:
        """Read what one model holds from its headers; its branch is resolved to a commit once, here."""
        fields = message_of(
            message, {"address": (True, "address is owner/name or the model's page", is_text(_LONGEST))}
        )
        ref = ref_of_url(fields["address"])
        if ref.scheme != "hub":
            fix = "write it like owner/name"
            raise MessageError(Problem("the address is that of a model of the Hub", f"{ref.scheme}:", "address", fix))

        def work(cancelled: Cancelled) -> Answer:
            return {"checkpoint": self._described(self._hub.for_caller().survey(ref))}

        return await self._turn(visitor, "hub", "look at a model", 0, work)

    @answers_in_turn
    async def download(self, visitor: str, message: object) -> Answer:
        """Download models; the same models again are the same job while it runs."""
        fields = message_of(message, {"refs": (True, f"refs are 1 to {MOST_EXPERTS + 1} references", _are_refs)})
        refs = [parse_ref(text) for text in dict.fromkeys(fields["refs"])]
        loose = [ref for ref in refs if ref.commit is None]
        if loose:
            must, fix = "a download names models of the Hub with their commits", "look at the model first"
            raise MessageError(*(Problem(must, ref.label, "message.refs", fix) for ref in loose))

        def work(cancelled: Cancelled) -> Answer:
            return {"job": shown(self._jobs, self._begin(visitor, refs))}

        return await self._turn(visitor, "hub", "download", 0, work)

    def _described(self, survey: HubSurvey) -> dict[str, Any]:
        checkpoint = survey.checkpoint(folder_of(self._hub.cache, survey.ref))
        return {
            **describe_checkpoint(checkpoint),
            "missing": self._hub.missing_bytes(survey.ref),
            "base_models": list(survey.about.base_models),
            "licence": survey.about.licence,
            "task": survey.about.task,
        }

    def _begin(self, visitor: str, refs: list[Ref]) -> Job:
        """Ask for access, survey, see whether the disk has room, and submit the job."""
        hub = self._hub.for_caller()
        surveys: list[HubSurvey] = []
        problems: list[Problem] = []
        for ref in refs:
            try:
                surveys.append(hub.survey(ref))
            except BasinError as error:
                problems += error.problems
        if problems:
            raise HubError(*problems)
        missing = sum(self._hub.missing_bytes(survey.ref) for survey in surveys)
        check_space(hub.cache, missing)
        key = " ".join(["download", *sorted(str(ref) for ref in refs)])
        if missing:
            self._forget_done(visitor, key)
        return self._jobs.submit(
            visitor,
            title=_title(refs),
            work=work.NAME,
            payload={
                "endpoint": hub.endpoint,
                "cache": str(hub.cache.absolute()),
                "largest": hub.largest,
                "budget": hub.budget,
                "models": [{"ref": str(survey.ref), "bytes": survey.nbytes} for survey in surveys],
            },
            key=key,
            kind="download",
            secret=caller().token,
        )

    def _forget_done(self, visitor: str, key: str) -> None:
        """Let a job that is done not stand for a download whose files are gone again."""
        for job in self._jobs.of(visitor, "download"):
            if job.key == key and job.state == "done":
                self._jobs.forget(visitor, job.id)

    async def _turn(
        self, visitor: str, page: str, kind: str, sequence: int, work: Callable[[Cancelled], Result]
    ) -> Result:
        return await asyncio.wrap_future(self._scheduler.submit(visitor, page, kind, sequence, work))


def _title(refs: list[Ref]) -> str:
    """Name a download.

    >>> _title([Ref("hub", "ada/base"), Ref("hub", "ada/digits"), Ref("hub", "ada/greek")])
    'ada/base and 2 more'
    """
    more = f" and {len(refs) - 1} more" if len(refs) > 1 else ""
    return f"{refs[0].path}{more}"


def _is_page(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_PAGE


def _are_refs(value: object) -> bool:
    return (
        isinstance(value, list) and 1 <= len(value) <= MOST_EXPERTS + 1 and all(is_text(_LONGEST)(one) for one in value)
    )
