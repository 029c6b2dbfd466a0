"""What the library's page asks: save, find, rename, tag, delete, compare, send out and take in."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from typing import Any

from app.families import Family
from app.library.ids import ONE, SEVERAL
from app.library.keeping import Keeper
from app.library.pages import page_of
from app.library.result import ResultFile, read_file, write_file
from app.library.search import PAGE, SORTS, Search
from app.library.store import MOST, Held, LibraryError, LibraryStore
from app.library.tables import FORMS, table_file
from app.library.words import MOST_TAGS, NAME, difference_words, one_line, tags_of
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.state import parse_state
from app.studio import pairs
from app.studio.messages import MessageError, is_text, message_of
from app.studio.rows import words_of
from app.studio.workbench import Workbench
from merging_core.errors import Problem, RecipeError, closest

__all__ = ["LARGEST_FILE", "Library"]

LARGEST_FILE = 1024 * 1024
"""Bytes of a result's file."""
_COMPARED = 6
_WORDS = 8


class Library:
    """The server side of the library's view; every method returns an answer and none raises."""

    def __init__(self, workbench: Workbench, store: LibraryStore, keeper: Keeper) -> None:
        self._workbench = workbench
        self._store = store
        self._keeper = keeper

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "save": self.save,
            "library": self.library,
            "library_rename": self.rename,
            "library_tag": self.tag,
            "library_delete": self.delete,
            "library_restore": self.restore,
            "library_compare": self.compare,
            "library_download": self.download,
            "library_import": self.take_in,
            "library_result": self.result,
        }

    @answers_in_turn
    async def save(self, visitor: str, message: object) -> Answer:
        """Put the merge of a state into the visitor's library."""
        name_rule = (False, f"name is text of at most {NAME} characters", is_text(NAME))
        state_rule = (True, "state is an object", lambda value: isinstance(value, dict))
        fields = message_of(message, {"state": state_rule, "name": name_rule})
        state = parse_state(fields["state"], self._workbench.families)
        id_, new = await self._keeper.keep(visitor, state, name=one_line(fields["name"] or ""))
        return {"id": id_, "new": new}

    @answers
    def library(self, visitor: str, message: object) -> Answer:
        """Return one page of the table, how many match, and what there is to filter by."""
        found = self._store.find(visitor, _search(message))
        return {
            "rows": [row.as_json() for row in found.rows],
            "matching": found.matching,
            "facets": self._store.facets(visitor),
            "notice": self._store.notice,
            "limits": {"results": MOST, "tags": MOST_TAGS, "compared": _COMPARED, "page": PAGE},
        }

    @answers
    def rename(self, visitor: str, message: object) -> Answer:
        """Call a result by another name; an empty one takes it away."""
        name_rule = (True, f"name is text of at most {NAME} characters", is_text(NAME))
        fields = message_of(message, {"id": ONE, "name": name_rule})
        self._store.rename(visitor, self._own(visitor, fields["id"]).id, one_line(fields["name"]))
        return {}

    @answers
    def tag(self, visitor: str, message: object) -> Answer:
        """Put tags on results, and take others off."""
        tags_rule = (False, "tags are a list of at most 24 texts", _is_texts(24))
        fields = message_of(message, {"ids": SEVERAL, "add": tags_rule, "drop": tags_rule})
        add, drop = tags_of(fields["add"] or []), tags_of(fields["drop"] or [])
        self._store.tag(visitor, fields["ids"], add, drop, MOST_TAGS)
        return {}

    @answers
    def delete(self, visitor: str, message: object) -> Answer:
        """Take results out of the library; `library_restore` brings the last ones back."""
        return {"deleted": self._store.remove(visitor, message_of(message, {"ids": SEVERAL})["ids"])}

    @answers
    def restore(self, visitor: str, message: object) -> Answer:
        """Bring back what was deleted last."""
        message_of(message, {})
        return {"restored": self._store.restore(visitor)}

    @answers
    def result(self, visitor: str, message: object) -> Answer:
        """Return one result of the visitor as a page: numbers, figures, recipe, versions."""
        held = self._own(visitor, message_of(message, {"id": ONE})["id"])
        own = {"name": held.name, "tags": list(held.tags), "share": held.share, "saved": held.at}
        return {"page": page_of(held.result, held.test, self._workbench), **own}

    @answers
    def compare(self, visitor: str, message: object) -> Answer:
        """Compare results with the first of them: recipe in words, and paired where both know their answers."""
        ids = message_of(message, {"ids": SEVERAL})["ids"]
        if not 2 <= len(set(ids)) <= _COMPARED:
            must = f"2 to {_COMPARED} results are compared"
            raise MessageError(Problem(must, str(len(set(ids))), "message.ids", "select another number"))
        first, *others = [self._own(visitor, id_) for id_ in dict.fromkeys(ids)]
        return {"first": _named(first), "others": [self._compared(first, other) for other in others]}

    @answers
    def download(self, visitor: str, message: object) -> Answer:
        """Return a file: the table as CSV or Parquet, all of it or what is selected, or one result."""
        forms = [*FORMS, "result"]
        form_rule = (True, "form is text", is_text(20))
        fields = message_of(message, {"form": form_rule, "ids": (False, SEVERAL[1], SEVERAL[2])})
        form, ids = fields["form"], fields["ids"]
        if form not in forms:
            must = f"a library is written as {', '.join(forms)}"
            raise MessageError(Problem(must, form, "message.form", closest(form, forms)))
        if form == "result":
            held = self._own(visitor, (ids or [""])[0])
            data = write_file(ResultFile(held.result, held.name, held.tags, held.test))
            return _file(f"{_stem(held.name or held.result.label)}.basin.json", "application/json", data)
        rows = self._store.plain(visitor, ids)
        if not rows:
            raise LibraryError(Problem("a table has at least one result", "none", "", "save a merge first"))
        return _file(f"basin-library.{form}", FORMS[form], table_file(rows, form))

    @answers
    def take_in(self, visitor: str, message: object) -> Answer:
        """Save the result of a file that came gzipped, in base64."""
        packed = message_of(message, {"packed": (True, "packed is text", lambda value: isinstance(value, str))})
        file = read_file(_unpacked(packed["packed"]))
        tags = tags_of(file.tags[:MOST_TAGS])
        name = one_line(file.name)[:NAME]
        id_, new = self._store.save(visitor, file.result, name=name, tags=tags, test=file.test)
        return {"id": id_, "new": new, "label": name or file.result.label}

    def _compared(self, first: Held, other: Held) -> Answer:
        """Say how another result differs from the first; null where that cannot be known."""
        a, b = first.result, other.result
        family = _family(self._workbench.families, a.family if a.family == b.family else "")
        differences, why = None, ""
        if a.evaluation != b.evaluation:
            why = "They were measured on different examples, so they cannot be paired."
        elif a.correct is None or b.correct is None:
            why = "One came without its answers, so they cannot be paired."
        else:
            differences = self._workbench.difference(pairs.unpack(a.correct), pairs.unpack(b.correct), family)
        words = words_of(differences) if differences else why
        recipe = difference_words(a.recipe, b.recipe, family)
        return {**_named(other), "differences": differences, "words": words, "recipe": recipe}

    def _own(self, visitor: str, id_: str) -> Held:
        return self._store.get(visitor, id_)


def _search(message: object) -> Search:
    text = is_text(200)
    fields = message_of(
        message,
        {
            "text": (False, "text has at most 200 characters", text),
            "method": (False, "method is text", text),
            "tag": (False, "tag is text", text),
            "sort": (
                False,
                f"sort is one of {', '.join(SORTS)}",
                lambda value: isinstance(value, str) and value in SORTS,
            ),
            "descending": (False, "descending is true or false", lambda value: isinstance(value, bool)),
            "offset": (False, "offset is a whole number from 0", _is_whole(0, 10**6)),
            "limit": (False, "limit is a whole number from 1 to 200", _is_whole(1, 200)),
        },
    )
    return Search(
        words=tuple(one_line(fields["text"] or "").split()[:_WORDS]),
        method=fields["method"] or "",
        tag=fields["tag"] or "",
        sort=fields["sort"] or "when",
        descending=fields["descending"] is not False,
        offset=fields["offset"] or 0,
        limit=fields["limit"] or PAGE,
    )


def _named(held: Held) -> Answer:
    accuracy = held.result.accuracy
    average = {"average": accuracy["average"]["accuracy"], "interval": accuracy["average"]["interval"]}
    return {
        "id": held.id,
        "name": held.name or held.result.label,
        "label": held.result.label,
        "n": accuracy["n"],
        **average,
    }


def _family(families: tuple[Family, ...], name: str) -> Family | None:
    try:
        return family_named(families, name)
    except RecipeError:
        return None


def _file(name: str, kind: str, data: bytes) -> Answer:
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode()}


def _stem(text: str) -> str:
    """Return a name that is safe as a file's: letters, digits and hyphens.

    >>> _stem("../TIES, λ 0.5")
    'ties-0-5'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "result"


def _unpacked(text: str) -> bytes:
    advice = "choose a file whose name ends in .basin.json"
    try:
        inflate = zlib.decompressobj(wbits=31)
        data = inflate.decompress(base64.b64decode(text, validate=True), LARGEST_FILE + 1)
    except (ValueError, binascii.Error, zlib.error):
        raise LibraryError(Problem("a file arrives whole", "a damaged one", "file", "try again")) from None
    if len(data) > LARGEST_FILE:
        raise LibraryError(Problem(f"a result’s file has at most {LARGEST_FILE} bytes", "more", "file", advice))
    if not inflate.eof:
        raise LibraryError(Problem("a file arrives whole", "a part of one", "file", "try again"))
    return data


def _is_texts(most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) <= most and all(isinstance(one, str) for one in value)


def _is_whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
