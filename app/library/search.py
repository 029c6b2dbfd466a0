"""How a library is searched: what may be asked, and the one SQL query that answers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["SORTS", "Row", "Rows", "Search", "facets_query", "row_of", "search_query"]

SORTS = {"when": "number", "average": "average", "name": "words", "method": "method", "n": "n"}
"""The column behind each order that may be asked for."""
PAGE = 50
"""Rows of one page unless another number is asked for."""
_COLUMNS = "held.result, held.at, name, label, family, method, average, n, row, test IS NOT NULL"
_TAGS = """(SELECT json_group_array(tag) FROM
            (SELECT tag FROM tags WHERE tags.visitor = held.visitor AND tags.result = held.result ORDER BY tag))"""
_TAGGED = r"""EXISTS (SELECT 1 FROM tags
            WHERE tags.visitor = held.visitor AND tags.result = held.result AND tag LIKE ? ESCAPE '\')"""
_SHARED = "EXISTS (SELECT 1 FROM shares WHERE shares.visitor = held.visitor AND shares.result = held.result)"


@dataclass(frozen=True)
class Search:
    """What is looked for: words that all occur in name, label or tags; a method; a tag; an order; a page."""

    words: tuple[str, ...] = ()
    method: str = ""
    tag: str = ""
    sort: str = "when"
    descending: bool = True
    offset: int = 0
    limit: int = PAGE


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    id: str
    at: str
    name: str
    label: str
    family: str
    method: str
    average: float
    n: int
    more: dict[str, Any]
    """Interval, accuracies of the tasks, and whether it was imported."""
    tested: bool
    tags: tuple[str, ...]
    shared: bool

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows."""
        plain = {key: value for key, value in vars(self).items() if key not in ("more", "at", "tags")}
        return {**plain, **self.more, "when": self.at, "tags": list(self.tags)}


@dataclass(frozen=True)
class Rows:
    """One page of a table."""

    rows: tuple[Row, ...]
    matching: int
    """How many match in all."""


def search_query(visitor: str, search: Search, *, count: bool = False) -> tuple[str, list[Any]]:
    """Return the query and its values; with `count` the one that counts all that match.

    >>> query, values = search_query("ann", Search(words=("50%",)))
    >>> values[:2]
    ['ann', '%50\\\\%%']
    """
    conditions, values = ["visitor = ?", "removed = 0"], [visitor]
    more: list[Any] = []
    for word in search.words:
        conditions.append(f"(words LIKE ? ESCAPE '\\' OR {_TAGGED})")
        more += [_like(word)] * 2
    if search.method:
        conditions.append("method = ?")
        more.append(search.method)
    if search.tag:
        conditions.append("result IN (SELECT result FROM tags WHERE tags.visitor = ? AND tag = ?)")
        more += [visitor, search.tag]
    where = " AND ".join(conditions)
    if count:
        return f"SELECT COUNT(*) FROM held WHERE {where}", [*values, *more]
    way = "DESC" if search.descending else "ASC"
    order = f"{SORTS[search.sort]} {way}" + (f", number {way}" if search.sort != "when" else "")
    query = f"SELECT {_COLUMNS}, {_TAGS}, {_SHARED} FROM held WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
    return query, [*values, *more, search.limit, search.offset]


def facets_query(facet: str) -> str:
    """Return the query for the values of a facet with their counts, the most frequent first."""
    if facet == "method":
        return """SELECT method, COUNT(*) FROM held WHERE visitor = ? AND removed = 0
                  GROUP BY method ORDER BY COUNT(*) DESC, method"""
    return """SELECT tag, COUNT(*) FROM tags JOIN held USING (visitor, result) WHERE visitor = ? AND removed = 0
              GROUP BY tag ORDER BY COUNT(*) DESC, tag"""


def row_of(*values: Any) -> Row:
    """Read one row of the query."""
    id_, at, name, label, family, method, average, n, row, tested, tags, shared = values
    return Row(
        id_,
        at,
        name,
        label,
        family,
        method,
        average,
        n,
        json.loads(row),
        bool(tested),
        tuple(json.loads(tags)),
        bool(shared),
    )


def _like(word: str) -> str:
    plain = word.lower()
    for special in "\\%_":
        plain = plain.replace(special, f"\\{special}")
    return f"%{plain}%"
