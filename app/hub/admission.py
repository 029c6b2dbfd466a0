"""Access is asked for before work is put in a line, so that no slider waits while the Hub thinks of somebody's model.

Where checkpoints are opened the Hub is asked too (`app.hub.source`); by then the answer is known. A yes that will soon
be too old is asked for again while it still holds.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import wraps
from typing import Any

from app.callers import caller
from app.hub.source import VisitorsHub
from app.live import BusyError, Cancelled, Scheduler
from app.notices import Answer, answer_for
from app.own_family import refs_named
from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import BasinError
from merging_core.recipes import Recipe
from merging_core.recipes.resolving import references, resolve

__all__ = ["Admission"]

_SOON = 30.0
"""Seconds for which a yes must hold lest it is asked for again."""
ServerFunction = Callable[[str, object], Any]


class Admission:
    """Lets a visitor's work begin when the Hub has let the visitor in; `hub` is nothing where there is none."""

    def __init__(self, hub: VisitorsHub | None, network: Scheduler) -> None:
        self._hub = hub
        self._network = network
        self._lock = threading.Lock()
        self._asked: dict[tuple[str | None, tuple[Ref, ...]], Future[None]] = {}

    def before(self, function: ServerFunction) -> ServerFunction:
        """Return a server function that asks for access to what its message names first, if it waits for turns."""
        if not inspect.iscoroutinefunction(function):
            return function

        @wraps(function)
        async def admitted(visitor: str, message: object) -> Answer:
            try:
                await self.admit(visitor, _refs_in(message))
            except Exception as error:
                return answer_for(error)
            answer: Answer = await function(visitor, message)
            return answer

        return admitted

    async def admit(self, visitor: str, refs: Iterable[str]) -> None:
        """Return when the present caller may read all of these; those that are not of the Hub are everybody's.

        Raises: `HubError` with everything that the caller may not read.
        """
        found = tuple(dict.fromkeys(ref for text in refs if (ref := _hub_ref(text)) is not None))
        if self._hub is None or not found:
            return
        left = [self._hub.for_caller().granted(ref) for ref in found]
        if min(left) >= _SOON:
            return
        with suppress(BusyError):
            asked = self._ask(visitor, found, self._hub)
            if not min(left):
                await asyncio.shield(asyncio.wrap_future(asked))

    async def resolved(self, visitor: str, recipe: Recipe) -> Recipe:
        """Return a recipe at the commits of the Hub that its branches mean now.

        Raises: `HubError` with everything that is wrong with its models of the Hub.
        """
        if self._hub is None or not any(_is_loose(text) for text in references(recipe)):
            return recipe
        hub = self._hub

        def work(cancelled: Cancelled) -> Recipe:
            found = resolve(recipe, lambda text: hub.pin(parse_ref(text)))
            if found.refusals:
                refs = [ref for text in references(found.recipe) if (ref := parse_ref(text)).scheme == "hub"]
                hub.check_all(refs, refusals=found.refusals)
            return found.recipe

        return await asyncio.wrap_future(self._network.submit(visitor, "commits", "commits", 0, work))

    async def pinned(self, visitor: str, text: str) -> str:
        """Return one reference at the commit that its branch means now."""
        if self._hub is None or not _is_loose(text):
            return text
        hub = self._hub
        found = self._network.submit(visitor, "commits", "commits", 0, lambda _: str(hub.pin(parse_ref(text))))
        return await asyncio.wrap_future(found)

    def _ask(self, visitor: str, refs: tuple[Ref, ...], hub: VisitorsHub) -> Future[None]:
        """Ask in the network's line, once for all that want to know the same."""
        key = (caller().token, refs)
        with self._lock:
            known = self._asked.get(key)
        if known is not None:
            return known
        found = self._network.submit(visitor, "admission", "admission", 0, lambda _: hub.check_all(refs, anew=True))
        with self._lock:
            self._asked[key] = found
        found.add_done_callback(lambda _: self._forget(key))
        return found

    def _forget(self, key: tuple[str | None, tuple[Ref, ...]]) -> None:
        with self._lock:
            self._asked.pop(key, None)


def _refs_in(message: object) -> tuple[str, ...]:
    """Return the references of the family that a message is about; nothing where it names none of a visitor's own."""
    if not isinstance(message, Mapping):
        return ()
    state = message.get("state")
    return refs_named(state.get("family") if isinstance(state, Mapping) else message.get("family"))


def _is_loose(text: str) -> bool:
    return text.startswith("hub:") and parse_ref(text).commit is None


def _hub_ref(text: str) -> Ref | None:
    if not text.startswith("hub:"):
        return None
    try:
        ref = parse_ref(text)
    except BasinError:
        return None
    return ref if ref.commit is not None else None
