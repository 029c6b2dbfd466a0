"""What a visitor does with the history: name a merge, pin it, compare it with another, remove it and bring it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.ledger import Ledger, Merge
from app.library.keeping import Keeper
from app.library.words import NAME, difference_words, one_line
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.state import parse_state
from app.studio import pairs
from app.studio.messages import MessageError, is_text, message_of
from app.studio.rows import history_of, words_of
from app.studio.workbench import Workbench
from merging_core.errors import Problem

__all__ = ["History"]

_HASH = (True, "hash is a hash", is_text(64))


class History:
    """The server side of the history panel; every method returns an answer and none raises."""

    def __init__(self, workbench: Workbench, ledger: Ledger, keeper: Keeper) -> None:
        self._workbench = workbench
        self._ledger = ledger
        self._keeper = keeper

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "name_merge": self.name_merge,
            "pin_merge": self.pin_merge,
            "remove_merge": self.remove_merge,
            "restore_merge": self.restore_merge,
            "compare": self.compare,
        }

    @answers
    def name_merge(self, visitor: str, message: object) -> Answer:
        """Call a merge by a name."""
        name_rule = (True, f"name is text of at most {NAME} characters", is_text(NAME))
        fields = message_of(message, {"hash": _HASH, "name": name_rule})
        self._own(visitor, fields["hash"], "hash")
        self._ledger.rename(visitor, fields["hash"], one_line(fields["name"]))
        return {"history": self._history(visitor)}

    @answers_in_turn
    async def pin_merge(self, visitor: str, message: object) -> Answer:
        """Pin a merge, so that it is what others are compared with, and save it in the library; no hash pins none."""
        hash_ = message_of(message, {"hash": (False, _HASH[1], _HASH[2])})["hash"]
        if hash_ is None:
            self._ledger.pin(visitor, None)
            return {"history": self._history(visitor), "saved": None}
        merge = self._own(visitor, hash_, "hash")
        state = parse_state(merge.state, self._workbench.families)
        saved, _ = await self._keeper.keep(visitor, state, name=merge.name)
        self._ledger.pin(visitor, hash_)
        return {"history": self._history(visitor), "saved": saved}

    @answers
    def remove_merge(self, visitor: str, message: object) -> Answer:
        """Take a merge out of the history."""
        hash_ = message_of(message, {"hash": _HASH})["hash"]
        self._own(visitor, hash_, "hash")
        self._ledger.remove(visitor, hash_)
        return {"history": self._history(visitor)}

    @answers
    def restore_merge(self, visitor: str, message: object) -> Answer:
        """Bring back the merge that was removed last."""
        message_of(message, {})
        self._ledger.restore(visitor)
        return {"history": self._history(visitor)}

    @answers
    def compare(self, visitor: str, message: object) -> Answer:
        """Compare two merges of this visitor's history on the same examples, and their recipes in words."""
        fields = message_of(message, {"a": (True, "a is a hash", _HASH[2]), "b": (True, "b is a hash", _HASH[2])})
        a, b = (self._own(visitor, fields[name], name) for name in ("a", "b"))
        if a.state["family"] != b.state["family"]:
            raise MessageError(Problem("two merges of one family are compared", "two families", "message"))
        family = family_named(self._workbench.families, a.state["family"])
        differences = self._workbench.difference(pairs.unpack(a.correct), pairs.unpack(b.correct), family)
        recipe = difference_words(a.state["recipe"], b.state["recipe"], family)
        return {"differences": differences, "words": words_of(differences), "recipe": recipe}

    def _history(self, visitor: str) -> list[dict[str, Any]]:
        return history_of(self._ledger.merges(visitor), self._workbench.families)

    def _own(self, visitor: str, hash_: str, where: str) -> Merge:
        merge = self._ledger.merge(visitor, hash_)
        if merge is None:
            must = "a merge of your history is meant"
            raise MessageError(Problem(must, "another one", f"message.{where}", "let the merge settle first"))
        return merge
