"""Who may have what: the Hub is asked with the visitor's own token before anything cached is used."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from merging_core.checkpoints.ref import Ref
from merging_core.errors import HubAccessError, HubAwayError, HubError, Problem
from merging_core.hub.data_ref import Place, kind_of, repository_of
from merging_core.hub.headers import HubSurvey
from merging_core.hub.session import Caller, rules, understood

__all__ = ["Memory", "check_access"]

_GRANTS, _SURVEYS = 4096, 64


class Memory:
    """What the Hub said lately: who was let in, for a minute, and surveys of commits, which never change.

    Shared by all visitors of a process. Tokens are kept as hashes only, refusals not at all.
    """

    def __init__(self, seconds: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now = seconds, now
        self._lock = threading.Lock()
        self._grants: OrderedDict[str, float] = OrderedDict()
        self._surveys: OrderedDict[tuple[str, str], HubSurvey] = OrderedDict()
        self._away: dict[str, tuple[float, tuple[Problem, ...]]] = {}

    def away(self, caller: Caller) -> HubAwayError | None:
        """Return what kept the Hub from answering lately; None where nothing did, or it is time to ask again."""
        with self._lock:
            until, problems = self._away.get(caller.endpoint, (0.0, ()))
        return HubAwayError(*problems) if self._now() < until else None

    def keep_away(self, caller: Caller, error: HubAwayError) -> None:
        """Keep for a while that the Hub does not answer, so that nobody waits for it again and again."""
        with self._lock:
            problems = tuple(replace(problem, where="") for problem in error.problems)
            self._away[caller.endpoint] = (self._now() + self._seconds, problems)

    def granted(self, caller: Caller, repo: str) -> float:
        """Return for how many seconds more the Hub's yes to this caller holds; 0 where there is none."""
        with self._lock:
            return max(0.0, self._grants.get(_key(caller, repo), 0.0) - self._now())

    def grant(self, caller: Caller, repo: str) -> None:
        """Keep that the Hub let this caller in."""
        with self._lock:
            self._grants.pop(_key(caller, repo), None)
            self._grants[_key(caller, repo)] = self._now() + self._seconds
            while len(self._grants) > _GRANTS:
                self._grants.popitem(last=False)

    def forget(self, caller: Caller, repo: str) -> None:
        """Keep no longer that the Hub let this caller in."""
        with self._lock:
            self._grants.pop(_key(caller, repo), None)

    def survey(self, endpoint: str, ref: Ref) -> HubSurvey | None:
        """Return what was read of a commit; the caller's access is checked elsewhere."""
        with self._lock:
            return self._surveys.get((endpoint, str(ref)))

    def keep(self, endpoint: str, survey: HubSurvey) -> None:
        """Keep a survey."""
        with self._lock:
            self._surveys[endpoint, str(survey.ref)] = survey
            while len(self._surveys) > _SURVEYS:
                self._surveys.popitem(last=False)


def check_access(caller: Caller, memory: Memory, ref: Place, *, anew: bool = False) -> None:
    """Ask the Hub whether this caller may read the repository; a yes holds for a minute, unless it is asked `anew`.

    Raises HubAccessError where not, with where to ask, HubAwayError where the Hub cannot say.
    """
    repo = repository_of(ref)
    if memory.granted(caller, repo) and not anew:
        return
    try:
        with rules(caller, repo), understood():
            caller.api.auth_check(ref.path, repo_type=kind_of(ref))
    except HubError as error:
        if isinstance(error, HubAccessError):
            memory.forget(caller, repo)
        raise error.located(ref.label) from None
    memory.grant(caller, repo)


def _key(caller: Caller, repo: str) -> str:
    text = "\0".join((caller.endpoint, repo, caller.token or ""))
    return hashlib.sha256(text.encode()).hexdigest()
