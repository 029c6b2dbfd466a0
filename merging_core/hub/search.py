"""Finding models: by words, task and library, and those that were fine-tuned from a base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from huggingface_hub.hf_api import ExpandModelProperty_T, ModelSort_T

from merging_core.checkpoints.dtypes import KNOWN_DTYPES, item_size
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, HubError, Problem
from merging_core.hub.answers import Answer, count_of, models, text_of, texts_of
from merging_core.hub.problems import without_meaning
from merging_core.hub.session import Caller

__all__ = ["LARGEST_PAGE", "SORTS", "Found", "HubEntry", "entry_of", "experts_of", "search"]

LARGEST_PAGE = 100
LAST_PAGE = 20
SORTS: tuple[str, ...] = get_args(ModelSort_T)
"""What a search can be sorted by, each from the most to the least."""
_LONGEST = 160
_SPELT = {"last_modified": "lastModified", "trending_score": "trendingScore", "created_at": "createdAt"}
_EXPAND: list[ExpandModelProperty_T] = [
    "likes", "downloads", "pipeline_tag", "library_name", "safetensors", "tags", "gated", "private", "lastModified",
]  # fmt: skip
_RELATED = "base_model:"
_LICENCE = "license:"
_NOT_EXPERTS = ("adapter", "quantized", "merge")


@dataclass(frozen=True)
class HubEntry:
    """What the Hub says of a model; all of it was written by strangers.

    What it does not say, or says in another form than its own, is None or empty.
    """

    id: str
    """`owner/name`."""
    likes: int | None
    downloads: int | None
    """In the last 30 days."""
    task: str
    """Such as `image-classification`; empty where the Hub does not say."""
    library: str
    parameters: int | None
    """The number of scalars in its safetensors files, where the Hub counted them."""
    bytes: int | None
    """Of these scalars."""
    base_models: tuple[str, ...]
    licence: str
    """As the Hub spells it, such as `apache-2.0`; empty where the card names none."""
    gated: bool
    private: bool
    updated: str
    """UTC, ISO 8601; empty where the Hub does not say."""

    @property
    def ref(self) -> str:
        """The reference, at whatever revision is newest."""
        return f"hub:{self.id}"

    def as_json(self) -> dict[str, Any]:
        """Return the plain values and the reference."""
        return {"ref": self.ref, **asdict(self), "base_models": list(self.base_models)}


@dataclass(frozen=True)
class Found:
    """One page of a search."""

    entries: tuple[HubEntry, ...]
    page: int
    more: bool
    """Whether another page follows."""
    unread: int = 0
    """How many entries of the Hub's answer could not be read."""

    @property
    def unread_sentence(self) -> str:
        """Say how many entries could not be read; empty where all could be.

        >>> Found((), 0, more=False, unread=2).unread_sentence
        '2 entries of the Hub could not be read.'
        """
        if not self.unread:
            return ""
        return f"{self.unread} {'entry' if self.unread == 1 else 'entries'} of the Hub could not be read."


def search(
    caller: Caller,
    text: str = "",
    *,
    task: str | None = None,
    library: str | None = None,
    filters: Iterable[str] = (),
    sort: str = "downloads",
    limit: int = 20,
    page: int = 0,
) -> Found:
    """Return a page of the models whose names hold `text`, in the Hub's order.

    The Hub's pages are reached one after the other, so `page` counts from 0 to 20. Models that a reference cannot name
    are left out. Raises HubError for an unknown sort, a page or a limit out of range, and as every request does.
    """
    problems = []
    if sort not in SORTS:
        problems.append(Problem(f"a search is sorted by {', '.join(SORTS)}", ascii(sort[:40]), "sort"))
    if not 1 <= limit <= LARGEST_PAGE:
        problems.append(Problem(f"a page has 1 to {LARGEST_PAGE} models", str(limit), "limit"))
    if not 0 <= page <= LAST_PAGE:
        problems.append(Problem(f"pages are 0 to {LAST_PAGE}", str(page), "page", "add a word, a task or a library"))
    if problems:
        raise HubError(*problems)
    asked = {
        "search": text.strip()[:_LONGEST],
        "filter": [*filters, *([library] if library else [])],
        "pipeline_tag": task,
        "sort": _SPELT.get(sort, sort),
    }
    start = page * limit
    items = _asked(caller, asked, start + limit + 1)[start:]
    return _found(items[:limit], page, more=len(items) > limit)


def experts_of(caller: Caller, base: str, *, limit: int = 20, page: int = 0) -> Found:
    """Return a page of the models whose cards say that they were fine-tuned from `base`, most downloaded first.

    Cards that name a base without saying how they came from it count too; adapters, quantised copies and merges do not.
    """
    tuned = search(caller, filters=[f"{_RELATED}finetune:{base}"], limit=limit, page=page)
    if tuned.entries or page:
        return tuned
    others = {f"{_RELATED}{kind}:{base}" for kind in _NOT_EXPERTS}
    items = _asked(caller, {"filter": f"{_RELATED}{base}", "sort": "downloads"}, limit * 4)
    kept = [item for item in items if not (isinstance(item, Mapping) and others & set(texts_of(item.get("tags"))))]
    found = _found(kept, 0, more=False)
    rows = tuple(row for row in found.entries if row.id != base)
    return Found(rows[:limit], 0, more=False, unread=found.unread)


def entry_of(answer: Answer) -> HubEntry | None:
    """Return what an object in an answer says of a model; None where that does not say which model it is."""
    name = text_of(answer.get("id"))
    if not name:
        return None
    tags = texts_of(answer.get("tags"))
    elements, size = _weights(answer.get("safetensors"))
    gated = answer.get("gated")
    return HubEntry(
        id=name[:_LONGEST],
        likes=count_of(answer.get("likes")),
        downloads=count_of(answer.get("downloads")),
        task=_short(answer.get("pipeline_tag")),
        library=_short(answer.get("library_name")),
        parameters=elements,
        bytes=size,
        base_models=_bases(tags),
        licence=_licence(tags),
        gated=gated is True or text_of(gated) != "",
        private=answer.get("private") is True,
        updated=_moment(answer.get("lastModified")),
    )


def _asked(caller: Caller, asked: Mapping[str, Any], most: int) -> list[object]:
    given = {name: value for name, value in asked.items() if value}
    return models(caller, {**given, "limit": most, "expand": _EXPAND}, most)


def _found(items: Iterable[object], page: int, *, more: bool) -> Found:
    """Return the entries that can be read and named, and how many cannot be read; HubError where none can."""
    read = [entry_of(item) if isinstance(item, Mapping) else None for item in items]
    if read and not any(read):
        raise without_meaning("something else")
    rows = tuple(row for row in read if row is not None and _nameable(row.id))
    return Found(rows, page, more, sum(row is None for row in read))


def _weights(said: object) -> tuple[int | None, int | None]:
    """Return the scalars and the bytes of a model's safetensors files, as far as the Hub says.

    >>> _weights({"parameters": {"F32": 2}, "total": 2}), _weights({"parameters": {"F32": "2"}}), _weights("2")
    ((2, 8), (None, None), (None, None))
    """
    if not isinstance(said, Mapping):
        return None, None
    given = said.get("parameters")
    counts = {dtype: count_of(count) for dtype, count in given.items()} if isinstance(given, Mapping) else {}
    known = [(dtype, count) for dtype, count in counts.items() if count is not None]
    if not known or len(known) < len(counts):
        return count_of(said.get("total")), None
    every = all(dtype in KNOWN_DTYPES for dtype, _ in known)
    return sum(count for _, count in known), sum(n * item_size(dtype) for dtype, n in known) if every else None


def _moment(said: object) -> str:
    """Return a moment as ISO 8601 in UTC to the second; nothing where it is none.

    >>> _moment("2026-01-02T03:04:05.000Z"), _moment("yesterday"), _moment(7)
    ('2026-01-02T03:04:05+00:00', '', '')
    """
    try:
        moment = datetime.fromisoformat(text_of(said))
        return moment.astimezone(UTC).isoformat(timespec="seconds") if moment.tzinfo is not None else ""
    except (ValueError, OverflowError):
        return ""


def _bases(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the ids in the tags `base_model:ID` and `base_model:finetune:ID`, each once.

    >>> _bases(["base_model:a/b", "base_model:finetune:a/b", "license:mit"])
    ('a/b',)
    """
    ids = (tag.removeprefix(_RELATED).rpartition(":")[2] for tag in tags if tag.startswith(_RELATED))
    return tuple(dict.fromkeys(name[:_LONGEST] for name in ids if _nameable(name)))[:8]


def _licence(tags: Iterable[str]) -> str:
    """Return the licence in the tag `license:ID`.

    >>> _licence(["region:us", "license:mit"])
    'mit'
    """
    return next((_short(tag.removeprefix(_LICENCE)) for tag in tags if tag.startswith(_LICENCE)), "")


def _nameable(name: str) -> bool:
    try:
        Ref("hub", name)
    except CheckpointError:
        return False
    return True


def _short(text: object) -> str:
    return text[:_LONGEST] if isinstance(text, str) and text.isprintable() else ""
