"""What the studio's server functions do: read a message, do the work, answer; the protocol of docs/architecture.md."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from app.callers import Callers
from app.charts import accuracy as accuracy_chart
from app.charts import cosines as cosines_chart
from app.charts import layers as layers_chart
from app.charts import path as path_chart
from app.database import StorageError
from app.geometry.links import read_link
from app.ledger import Ledger
from app.live import BusyError, Cancelled, Scheduler
from app.notices import Answer, answer_for, answers, answers_in_turn
from app.own_family import family_named
from app.sharing import link
from app.state import StudioState, default_state, parse_state
from app.studio import pairs
from app.studio.edits import edited
from app.studio.ghosts import WHY_NOT, shares_of
from app.studio.messages import LiveMessage, ghosts_message, live_message, message_of
from app.studio.rows import history_of, history_row, label_of, with_foretold, with_pinned
from app.studio.slow_merges import SlowMerges
from app.studio.workbench import Numbers, Workbench
from merging_core.errors import BasinError, LinkError, Problem

__all__ = ["Studio"]

_PATIENCE = 120.0
"""Seconds after which a live request is answered as busy."""
_LOG = logging.getLogger("basin")


class Studio:
    """The server side of the studio's page.

    Every method takes a visitor's id and a message, and returns an answer; none raises. `errands`: for what is asked
    once and may take long, in a thread of its own, so that no slider waits for it.
    """

    def __init__(
        self,
        workbench: Workbench,
        ledger: Ledger,
        scheduler: Scheduler,
        errands: Scheduler,
        callers: Callers | None = None,
        slow: SlowMerges | None = None,
    ) -> None:
        self._workbench = workbench
        self._callers = callers or Callers()
        self._ledger = ledger
        self._scheduler = scheduler
        self._slow = slow or SlowMerges(workbench)
        self._errands = errands
        self._warming: threading.Thread | None = None
        self._closing = threading.Event()

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name; those that take long are coroutines."""
        return {
            "hello": self.hello,
            "account": self.account,
            "edit": self.edit,
            "live": self.live,
            "ghosts": self.ghosts,
            "merge_time": self.merge_time,
            "score_on_test": self.score_on_test,
            "share": self.share,
        }

    def warm(self) -> None:
        """Begin to compute what the first page needs, beside everything else."""
        self._warming = threading.Thread(target=self._warm, name="basin-warm", daemon=True)
        self._warming.start()

    def close(self) -> None:
        """Stop working and close the ledger."""
        self._closing.set()
        self._scheduler.close()
        self._slow.close()
        self._errands.close()
        if self._warming is not None:
            self._warming.join(timeout=5)
        self._ledger.close()

    @answers
    def hello(self, visitor: str, message: object) -> Answer:
        """Describe what there is, and open the state of a link; a damaged link opens the default with a notice."""
        fields = message_of(message, {"link": _LINK, "geometry": _LINK})
        state, study, notice = self._opened(fields["link"], fields["geometry"])
        notice = notice or self._ledger.notice
        tasks = family_named(self._workbench.families, state.family).tasks
        answer = {
            "description": {**self._workbench.description(), "storage": self._ledger.kind},
            "state": state.as_json(),
            "history": self._history(visitor),
            "test_scores": self._ledger.scores_taken(visitor, tasks),
            "hub": self._callers.account(),
            "geometry": study,
        }
        return {**answer, "notice": notice} if notice else answer

    @answers
    def account(self, visitor: str, message: object) -> Answer:
        """Say with which account of the Hub the visitor is signed in, for a page that comes to the front again."""
        message_of(message, {})
        return {"hub": self._callers.account()}

    @answers
    def edit(self, visitor: str, message: object) -> Answer:
        """Make a structural change whose defaults the registry knows."""
        fields = message_of(message, {"state": _NEEDED_STATE, "change": (True, "change is an object", _is_object)})
        state = parse_state(fields["state"], self._workbench.families)
        return {"state": edited(state, fields["change"], self._workbench.families).as_json()}

    @answers_in_turn
    async def live(self, visitor: str, message: object) -> Answer:
        """Answer one live request, in its turn."""
        request = live_message(message)
        state = parse_state(request.state, self._workbench.families)
        kind = "fine path" if request.want == "path" and request.fine else request.want

        def work(cancelled: Cancelled) -> Answer:
            return self._live(visitor, request, state, cancelled)

        try:
            ready = self._slow.ready(visitor, request.page, request.want, request.sequence, state)
            await asyncio.wait_for(ready, _PATIENCE)
            future = self._scheduler.submit(visitor, request.page, kind, request.sequence, work)
            return await asyncio.wait_for(asyncio.wrap_future(future), _PATIENCE)
        except TimeoutError:
            must = f"an answer comes within {_PATIENCE:.0f} seconds"
            raise BusyError(Problem(must, "none", "", "try again in a moment")) from None

    @answers_in_turn
    async def ghosts(self, visitor: str, message: object) -> Answer:
        """Find more of what foretells accuracies beside the bars; asked again until it is complete."""
        request = ghosts_message(message)
        state = parse_state(request.state, self._workbench.families)
        family = family_named(self._workbench.families, state.family)

        if shares_of(state.recipe, family) is None:
            return {"seq": request.sequence, "known": [], "complete": True, "why": WHY_NOT}

        def work(cancelled: Cancelled) -> Answer:
            return dict(self._workbench.grow_ghosts(state, cancelled))

        page = f"ghosts {request.page}"
        future = self._scheduler.submit(visitor, page, "ghosts", request.sequence, work)
        found: Answer = await asyncio.wrap_future(future)
        return {"seq": request.sequence, **found, "why": None}

    @answers_in_turn
    async def merge_time(self, visitor: str, message: object) -> Answer:
        """Estimate how long the state's merge takes, for a page that waits for it."""
        fields = message_of(message, {"state": _NEEDED_STATE})
        state = parse_state(fields["state"], self._workbench.families)
        return {"seconds": await asyncio.to_thread(self._workbench.waiting, state)}

    @answers_in_turn
    async def score_on_test(self, visitor: str, message: object) -> Answer:
        """Measure on the test split; counted, and recorded under the visitor."""
        fields = message_of(message, {"state": _NEEDED_STATE})
        state = parse_state(fields["state"], self._workbench.families)

        def work(cancelled: Cancelled) -> Answer:
            return self._score_on_test(visitor, state, cancelled)

        await self._slow.ready(visitor, "test score", "test score", 0, state)
        return await asyncio.wrap_future(self._errands.submit(visitor, "test score", "test score", 0, work))

    @answers
    def share(self, visitor: str, message: object) -> Answer:
        """Write the state as a query that reproduces it."""
        fields = message_of(message, {"state": _NEEDED_STATE})
        state = parse_state(fields["state"], self._workbench.families)
        self._workbench.named(state)
        return {"query": _query(state)}

    def _opened(self, state_link: str | None, study_link: str | None) -> tuple[StudioState, Numbers | None, str | None]:
        """Return the state and the study of an address, and what is to be said of a damaged one."""
        families = self._workbench.families
        state = default_state(families[0])
        try:
            state = parse_state(link.decode(state_link), families) if state_link else state
        except LinkError as error:
            return state, None, str(error)
        except BasinError as error:
            what = "The link holds a state that this Basin cannot show; its default is shown instead."
            return state, None, f"{what} {error}"
        try:
            return state, read_link(study_link, state, families).spec.as_json() if study_link else None, None
        except BasinError as error:
            return state, None, f"The link holds a study that this Basin cannot show. {error}"

    def _live(self, visitor: str, request: LiveMessage, state: StudioState, cancelled: Cancelled) -> Answer:
        begun = time.monotonic()
        answer: Answer = {"seq": request.sequence, "want": request.want, "hash": self._workbench.identity(state)}
        notices: list[str] = []
        if request.want == "settle":
            self._workbench.named(state)
            try:
                answer["query"] = _query(state)
            except LinkError as error:
                notices.append(f"The address does not hold this state, so a reload would lose it: {error}")
        numbers: Numbers | None
        if self._has_none(request.want, state):
            numbers, figures = None, {}
        elif request.want == "path":
            numbers = self._workbench.path(state, request.fine, cancelled)
            figures = {"path": path_chart.figure_of(numbers, handle=True)}
        elif request.want == "layers":
            numbers = self._workbench.layers(state)
            figures = {"layers": layers_chart.figure_of(numbers), "cosines": cosines_chart.figure_of(numbers)}
        else:
            subset = "preview" if request.want == "preview" else "full"
            scored = self._workbench.accuracy(state, "validation", subset, cancelled)
            if request.want == "settle":
                row = history_row(answer["hash"], label_of(state, self._workbench.families), scored.numbers)
                try:
                    self._ledger.keep(visitor, answer["hash"], row, state.as_json(), pairs.pack(scored.correct))
                except StorageError as error:
                    notices.append(f"This merge does not stand in the history: {error}")
                answer["history"] = self._history(visitor)
            pinned = self._ledger.merge(visitor, request.pinned) if request.pinned else None
            numbers = with_pinned(scored.numbers, pinned.row if pinned else None)
            if request.ghosts:
                numbers = with_foretold(numbers, self._workbench.foretold(state, subset))
            figures = {"accuracy": accuracy_chart.figure_of(numbers)}
        if notices:
            answer["notices"] = notices
        return {**answer, "numbers": numbers, "figures": figures, "milliseconds": _milliseconds(begun)}

    def _has_none(self, want: str, state: StudioState) -> bool:
        """Say whether there is nothing to show: no task to measure on, or no base to compare with."""
        family = family_named(self._workbench.families, state.family)
        baseless = state.recipe.base is None
        if want == "layers":
            return baseless
        return not family.tasks or (want == "path" and baseless and state.path.kind == "lambda")

    def _score_on_test(self, visitor: str, state: StudioState, cancelled: Cancelled) -> Answer:
        family = family_named(self._workbench.families, state.family)
        hash_, evaluation = self._workbench.identity(state), self._workbench.evaluation(family)
        numbers: Numbers | None = self._ledger.recorded(visitor, hash_, evaluation)
        if numbers is None:
            numbers = self._workbench.accuracy(state, "test", "full", cancelled).numbers
        taken = self._ledger.score(visitor, hash_, evaluation, family.tasks, numbers)
        return {
            "hash": hash_,
            "numbers": numbers,
            "figure": accuracy_chart.figure_of(numbers),
            "test_scores": taken,
        }

    def _history(self, visitor: str) -> list[Numbers]:
        return history_of(self._ledger.merges(visitor), self._workbench.families)

    def _warm(self) -> None:
        try:
            self._workbench.warm(self._closing.is_set)
        except Exception as error:
            answer_for(error)


def _query(state: StudioState) -> str:
    return f"s={link.encode(state.as_json())}"


def _milliseconds(begun: float) -> float:
    return round(1000 * (time.monotonic() - begun), 1)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_LINK = (False, "a link is text", lambda value: isinstance(value, str))
_NEEDED_STATE = (True, "state is an object", _is_object)
