"""Finding models: by words, task and library, and those that were fine-tuned from a base."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, get_args

from huggingface_hub import ModelInfo
from huggingface_hub.hf_api import ExpandModelProperty_T, ModelSort_T

from merging_core.checkpoints.dtypes import KNOWN_DTYPES, item_size
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, HubError, Problem
from merging_core.hub.session import Caller, rules, understood

__all__ = ["LARGEST_PAGE", "SORTS", "Found", "HubEntry", "entry_of", "experts_of", "search"]

LARGEST_PAGE = 100
LAST_PAGE = 20
SORTS: tuple[str, ...] = get_args(ModelSort_T)
"""What a search can be sorted by, each from the most to the least."""
_LONGEST = 160
_EXPAND: list[ExpandModelProperty_T] = [
    "likes", "downloads", "pipeline_tag", "library_name", "safetensors", "tags", "gated", "private", "lastModified",
]  # fmt: skip
_RELATED = "base_model:"
_LICENCE = "license:"
_NOT_EXPERTS = ("adapter", "quantized", "merge")


@dataclass(frozen=True)
class HubEntry:
    """What the Hub says of a model; all of it was written by strangers."""

    id: str
    """`owner/name`."""
    likes: int
    downloads: int
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
    wanted = [*filters, *([library] if library else [])]
    start = page * limit
    with rules(caller), understood():
        infos = caller.api.list_models(
            search=text.strip()[:_LONGEST] or None,
            filter=wanted or None,
            pipeline_tag=task or None,
            sort=sort,  # type: ignore[arg-type]  # one of SORTS
            limit=start + limit + 1,
            expand=_EXPAND,
        )
        rows = [entry_of(info) for info in islice(infos, start, start + limit + 1)]
    return Found(tuple(row for row in rows[:limit] if _nameable(row.id)), page, len(rows) > limit)


def experts_of(caller: Caller, base: str, *, limit: int = 20, page: int = 0) -> Found:
    """Return a page of the models whose cards say that they were fine-tuned from `base`, most downloaded first.

    Cards that name a base without saying how they came from it count too; adapters, quantised copies and merges do not.
    """
    tuned = search(caller, filters=[f"{_RELATED}finetune:{base}"], limit=limit, page=page)
    if tuned.entries or page:
        return tuned
    others = [f"{_RELATED}{kind}:{base}" for kind in _NOT_EXPERTS]
    with rules(caller), understood():
        infos = caller.api.list_models(filter=f"{_RELATED}{base}", sort="downloads", limit=limit * 4, expand=_EXPAND)
        rows = [entry_of(info) for info in infos if not set(info.tags or ()) & set(others)]
    found = tuple(row for row in rows if _nameable(row.id) and row.id != base)
    return Found(found[:limit], 0, more=False)


def entry_of(info: ModelInfo) -> HubEntry:
    """Return an entry from huggingface_hub's record; raises TypeError or AttributeError where that is malformed."""
    counts = info.safetensors.parameters if info.safetensors is not None else {}
    known = counts and all(dtype in KNOWN_DTYPES for dtype in counts)
    return HubEntry(
        id=str(info.id)[:_LONGEST],
        likes=int(info.likes or 0),
        downloads=int(info.downloads or 0),
        task=_short(info.pipeline_tag),
        library=_short(info.library_name),
        parameters=sum(int(count) for count in counts.values()) if counts else None,
        bytes=sum(int(count) * item_size(dtype) for dtype, count in counts.items()) if known else None,
        base_models=_bases(info.tags or []),
        licence=_licence(info.tags or []),
        gated=bool(info.gated),
        private=bool(info.private),
        updated=info.last_modified.isoformat(timespec="seconds") if info.last_modified is not None else "",
    )


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
