"""Stored links: `?r=<address>&recipe=<payload>` opens a result at once, and its recipe where the result is unknown.

The payload is that of a self-contained link (`app.sharing.link`), so a stored link never leads nowhere. The address has
128 random bits and is made when the owner shares; nothing else of the owner can be reached by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.charts import accuracy as accuracy_chart
from app.families import Family
from app.library.ids import ADDRESS, EITHER, ONE
from app.library.keeping import Keeper
from app.library.pages import page_of, state_of
from app.library.result import Result
from app.library.store import LibraryError, LibraryStore, Shared
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.sharing import link
from app.state import StudioState, parse_state
from app.studio import pairs
from app.studio.messages import MessageError, is_text, message_of
from app.studio.rows import words_of
from app.studio.workbench import Workbench
from merging_core.errors import Problem

__all__ = ["StoredLinks"]

_ENDED = {
    "deleted": "The result of this link was deleted by its owner.",
    "withdrawn": "The result of this link is not shared any more.",
    "": "The result of this link is not stored here.",
}


class StoredLinks:
    """The server side of shared results; every method returns an answer and none raises."""

    def __init__(self, workbench: Workbench, store: LibraryStore, keeper: Keeper) -> None:
        self._workbench = workbench
        self._store = store
        self._keeper = keeper

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "share_result": self.share_result,
            "unshare_result": self.unshare_result,
            "stored": self.stored,
            "recompute": self.recompute,
        }

    @answers_in_turn
    async def share_result(self, visitor: str, message: object) -> Answer:
        """Give a result an address: one of the library, or the merge of a state, which is saved first."""
        state_rule = (False, "state is an object", lambda value: isinstance(value, dict))
        fields = message_of(message, {"id": EITHER, "state": state_rule})
        if (fields["id"] is None) == (fields["state"] is None):
            raise MessageError(Problem("either id or state says what is shared", "both or none", "message"))
        id_ = fields["id"]
        if id_ is None:
            state = parse_state(fields["state"], self._workbench.families)
            id_, _ = await self._keeper.keep(visitor, state)
        result = self._store.get(visitor, id_).result
        payload = link.encode(_state_json(result))
        return {"id": id_, "query": f"r={self._store.share(visitor, id_)}&recipe={payload}"}

    @answers
    def unshare_result(self, visitor: str, message: object) -> Answer:
        """Let the address of a result lead nowhere."""
        fields = message_of(message, {"id": ONE})
        self._store.unshare(visitor, fields["id"])
        return {}

    @answers
    def stored(self, visitor: str, message: object) -> Answer:
        """Return the page of a shared result; `found` is false, with a sentence, if there is none at this address."""
        address = message_of(message, {"r": (True, "r is text", is_text(200))})["r"]
        shared = self._shared(address)
        if shared is None:
            notice = _ENDED[self._store.ended(address) if ADDRESS.fullmatch(address) else ""]
            return {"found": False, "notice": f"{notice} Its recipe is opened instead."}
        page = page_of(shared.result, shared.test, self._workbench)
        return {"found": True, "page": page, "shared": shared.at}

    @answers_in_turn
    async def recompute(self, visitor: str, message: object) -> Answer:
        """Measure the merge of a stored result here and now, and say how that differs from what is stored."""
        fields = message_of(message, {"r": (False, "r is text", is_text(200)), "id": EITHER})
        stored = self._stored(visitor, fields["r"], fields["id"])
        state = self._openable(stored)
        live = await self._keeper.measure(visitor, state)
        numbers = live.accuracy
        return {
            "numbers": numbers,
            "figure": accuracy_chart.figure_of(numbers),
            "measured": live.measured,
            **self._held_against(stored, live, family_named(self._workbench.families, state.family)),
        }

    def _held_against(self, stored: Result, live: Result, family: Family) -> Answer:
        """Say what changed between a stored result and the same merge measured now: live − stored."""
        changes = [
            f"{name}: {stored.environment[name]}, now {live.environment[name]}"
            for name in sorted(stored.environment)
            if stored.environment[name] != live.environment.get(name)
        ]
        if stored.hash != live.hash:
            changes.append("the checkpoints have other contents than when it was stored")
        if stored.evaluation != live.evaluation:
            changes.append("the examples or the version of Basin are others, so the two cannot be paired")
        if stored.evaluation != live.evaluation or stored.correct is None or live.correct is None:
            return {"differences": None, "words": "The two cannot be paired on the same examples.", "changes": changes}
        before, after = pairs.unpack(stored.correct), pairs.unpack(live.correct)
        differences = self._workbench.difference(before, after, family)
        changed = sum(int(np.count_nonzero(before[task] != after[task])) for task in before)
        if changed:
            noun = "example is" if changed == 1 else "examples are"
            words = f"{changed} of {differences['average']['n']} {noun} answered otherwise. {words_of(differences)}"
        else:
            words = f"The same numbers: every one of the {differences['average']['n']} examples is answered as it was."
        return {"differences": differences, "words": words, "changes": changes}

    def _stored(self, visitor: str, address: str | None, id_: str | None) -> Result:
        if (address is None) == (id_ is None):
            raise MessageError(Problem("either r or id names a result", "both or none", "message"))
        if id_ is not None:
            return self._store.get(visitor, id_).result
        shared = self._shared(address or "")
        if shared is None:
            raise LibraryError(Problem("the address leads to a shared result", "another one", "r"))
        return shared.result

    def _shared(self, address: str) -> Shared | None:
        return self._store.shared(address) if ADDRESS.fullmatch(address) else None

    def _openable(self, result: Result) -> StudioState:
        state, why = state_of(result, self._workbench)
        if state is None:
            raise LibraryError(Problem("the merge can be made here", "another one", "", why))
        return state


def _state_json(result: Result) -> dict[str, Any]:
    """Return the state of a self-contained link to this merge."""
    path = {"kind": "lambda"}
    return {"version": 1, "family": result.family, "recipe": result.recipe, "path": path, "metric": "loss"}
