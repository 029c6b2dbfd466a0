"""The Hub as each visitor may see it: every question carries the token of whoever the work is done for.

A download is kept once for all visitors, and so is what the live engine holds of it. Therefore the Hub is asked each
time with the caller's token whether this caller may read the model; a yes holds for a minute. While the Hub is away
nobody can be let in but whoever runs this Basin, whose cache it is.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

from app.callers import caller
from app.settings import Settings
from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import BasinError, HubAccessError, HubAwayError, HubError, Problem
from merging_core.hub.client import Hub
from merging_core.hub.download import open_complete

__all__ = ["VisitorsHub", "visitors_hub"]

_DEADLINE = 10.0
"""Seconds in which a question is answered, or is said to have been in vain."""
_AWAY, _OWN_AWAY = 5.0, 60.0
"""Seconds for which the Hub is not asked again after it gave no answer: for others, and for whoever runs this Basin."""
_KEPT = 256
_AT_ONCE = 8


def visitors_hub(settings: Settings) -> VisitorsHub | None:
    """Return the Hub that the settings name; nothing where its models are not offered."""
    if settings.hub is None:
        return None
    hub = Hub(
        settings.hub,
        None,
        settings.hub_cache,
        deadline=_DEADLINE,
        largest=settings.allowance.model_bytes,
        budget=settings.hub_budget,
        own_cache=settings.alone,
    )
    return VisitorsHub(hub)


class VisitorsHub:
    """What a catalog asks of the Hub, asked for `app.callers.caller()`; safe to use from several threads.

    `hub` says where, and what all visitors share. Every method raises as that of `merging_core.hub.client.Hub`.
    """

    def __init__(self, hub: Hub, now: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._now = now
        self._lock = threading.Lock()
        self._away: OrderedDict[str, tuple[float, tuple[Problem, ...]]] = OrderedDict()

    @property
    def endpoint(self) -> str:
        """The Hub's address."""
        return self._hub.endpoint

    @property
    def cache(self) -> Path:
        """Where downloads are kept."""
        return self._hub.cache

    @property
    def budget(self) -> int | None:
        """Bytes that all downloads together may take."""
        return self._hub.budget

    def for_caller(self) -> Hub:
        """Return the Hub with the rights of whoever the present work is done for."""
        who = caller()
        return replace(self._hub, token=who.token, own_cache=self._hub.own_cache and who.own)

    def check_access(self, ref: Ref, *, anew: bool = False) -> None:
        """Ask whether the caller may read a model; raises HubAccessError where not.

        HubAwayError where the Hub cannot say, unless the cache is the caller's own. For some seconds after that the
        answer is the same without a question, so that nobody waits for it again and again. `anew`: ask also where the
        last yes still holds.
        """
        hub = self.for_caller()
        if hub.granted(ref) and not anew:
            return
        found = self._known_away(hub)
        if found is None:
            try:
                hub.check_access(ref, anew=anew)
            except HubAwayError as error:
                found = tuple(replace(problem, where="") for problem in error.problems)
                self._keep_away(hub, found)
            else:
                return
        if not hub.granted(ref) and (not hub.own_cache or ref.commit is None):
            raise HubAwayError(*found).located(ref.label)

    def check_all(
        self, refs: Sequence[Ref], *, anew: bool = False, refusals: Mapping[str, BasinError] | None = None
    ) -> None:
        """Do as `check_access` for several models at the same time, and raise everything that is wrong.

        Where the caller may not have one of them, what the headers of the others say is wrong with these is told too.
        `refusals`: what is known to be wrong, by reference.
        """
        known = {ref: error for ref in refs if (error := (refusals or {}).get(str(ref))) is not None}
        known |= _refused(lambda ref: self.check_access(ref, anew=anew), [ref for ref in refs if ref not in known])
        if any(isinstance(error, HubAccessError) for error in known.values()):
            known |= _refused(lambda ref: self.for_caller().open(ref.whole), [ref for ref in refs if ref not in known])
        if known:
            kinds = {type(error) for error in known.values()}
            kind = kinds.pop() if len(kinds) == 1 else HubError
            raise kind(*(problem for ref in refs if ref in known for problem in known[ref].problems))

    def open(self, ref: Ref) -> Checkpoint:
        """Return the downloaded checkpoint, or one with headers only."""
        self.check_access(ref)
        hub = self.for_caller()
        held = open_complete(hub.cache, ref) if ref.commit is not None else None
        return held if held is not None else hub.open(ref)

    def pin(self, ref: Ref) -> Ref:
        """Return the reference with the commit that it means now."""
        return self.for_caller().pin(ref)

    def missing_bytes(self, ref: Ref) -> int:
        """Return how many bytes a download would fetch; 0 where everything is here."""
        self.check_access(ref)
        if ref.commit is not None and open_complete(self._hub.cache, ref) is not None:
            return 0
        return self.for_caller().missing_bytes(ref)

    def download(
        self,
        ref: Ref,
        progress: Callable[[float, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Path:
        """Download what is missing."""
        return self.for_caller().download(ref, progress, cancelled)

    def _known_away(self, hub: Hub) -> tuple[Problem, ...] | None:
        with self._lock:
            until, problems = self._away.get(_key(hub), (0.0, ()))
        return problems if self._now() < until else None

    def _keep_away(self, hub: Hub, problems: tuple[Problem, ...]) -> None:
        with self._lock:
            self._away[_key(hub)] = (self._now() + (_OWN_AWAY if hub.own_cache else _AWAY), problems)
            while len(self._away) > _KEPT:
                self._away.popitem(last=False)


def _refused(ask: Callable[[Ref], object], refs: Sequence[Ref]) -> dict[Ref, BasinError]:
    """Ask about all of these at the same time; return what was raised."""

    def one(ref: Ref) -> BasinError | None:
        try:
            ask(ref)
        except BasinError as error:
            return error
        return None

    if not refs:
        return {}
    with ThreadPoolExecutor(min(len(refs), _AT_ONCE)) as pool:
        found = list(pool.map(lambda pair: pair[0].run(one, pair[1]), [(copy_context(), ref) for ref in refs]))
    return {ref: error for ref, error in zip(refs, found, strict=True) if error is not None}


def _key(hub: Hub) -> str:
    """Name a token without keeping it: one may be over its limit of requests while others are not."""
    return hashlib.sha256((hub.token or "").encode()).hexdigest()
