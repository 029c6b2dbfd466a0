"""What there is on the Hub: `hub search` and `hub show`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer
from merging_core.cli.tables import aligned

if TYPE_CHECKING:
    from merging_core.hub.cache import Held
    from merging_core.hub.headers import HubSurvey
    from merging_core.hub.search import Found

__all__ = ["hub"]


def hub(
    action: Annotated[
        Literal["search", "show", "cache"],
        typer.Argument(
            help="Find models, show one from its headers without downloading it, or list the downloads here."
        ),
    ],
    what: Annotated[
        str, typer.Argument(metavar="[WHAT]", help="Words of a name to search for; owner/name or an address to show.")
    ] = "",
    task: Annotated[str | None, typer.Option(help="Only models for this task, such as image-classification.")] = None,
    library: Annotated[str | None, typer.Option(help="Only models for this library, such as transformers.")] = None,
    base: Annotated[str | None, typer.Option(help="Only models fine-tuned from this one: owner/name.")] = None,
    sort: Annotated[
        Literal["downloads", "likes", "last_modified", "created_at", "trending_score"],
        typer.Option(help="What comes first has most of it."),
    ] = "downloads",
    limit: Annotated[int, typer.Option(min=1, max=100, help="Models on a page.")] = 20,
    page: Annotated[int, typer.Option(min=0, max=20, help="Which page; the first is 0.")] = 0,
    remove: Annotated[
        str | None, typer.Option(metavar="REF", help="With cache: remove this download, as the list names it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find models on the Hub, or show what one holds before a download, with the token in HF_TOKEN if there is one.

    Downloads are kept in the cache: BASIN_CACHE_GB (100) says how many gigabytes, what was used longest ago goes first.
    """
    if action == "cache":
        _cache(remove, as_json=as_json)
        return
    from merging_core.checkpoints.ref import ref_of_url
    from merging_core.cli.environment import hub_of_environment

    found = hub_of_environment()
    if action == "show":
        ref = ref_of_url(what)
        survey = found.survey(ref)
        missing = found.missing_bytes(survey.ref)
        answer(_survey_table(survey, missing), {**survey.as_json(), "missing_bytes": missing}, as_json=as_json)
        return
    if base is not None:
        models = found.experts_of(base, limit=limit, page=page)
    else:
        models = found.search(what, task=task, library=library, sort=sort, limit=limit, page=page)
    document = {
        "models": [entry.as_json() for entry in models.entries],
        "page": models.page,
        "more": models.more,
        "unread": models.unread,
    }
    answer(_models_table(models), document, as_json=as_json)


def _cache(remove: str | None, *, as_json: bool) -> None:
    """List what the cache holds, after removing what is named."""
    from merging_core.cli.environment import hub_of_environment
    from merging_core.engines.pricing import amount
    from merging_core.hub.cache import held
    from merging_core.hub.cache import remove as removed

    found = hub_of_environment()
    gone = removed(found.cache, remove) if remove is not None else None
    entries = held(found.cache)
    total = sum(entry.bytes for entry in entries)
    document = {"downloads": [entry.as_json() for entry in entries], "bytes": total, "budget": found.budget}
    rows = [
        (entry.ref, amount(entry.bytes), f"{datetime.fromtimestamp(entry.used, UTC):%Y-%m-%d %H:%M}", _state(entry))
        for entry in entries
    ]
    table = aligned(("download", "size", "last used (UTC)", ""), rows, right=("size",)) if rows else "Nothing is here."
    told = [f"Removed {gone.ref}, {amount(gone.bytes)}."] if gone is not None else []
    text = "\n".join([*told, table, f"{amount(total)} of {amount(found.budget or 0)}"])
    answer(text, {**document, **({"removed": gone.as_json()} if gone is not None else {})}, as_json=as_json)


def _state(entry: Held) -> str:
    return "" if entry.complete or not entry.ref.startswith("hub:") else "not complete"


def _models_table(found: Found) -> str:
    from merging_core.engines.pricing import amount

    unread = [found.unread_sentence] if found.unread else []
    if not found.entries:
        return "\n".join(["No model found.", *unread])
    header = ("model", "task", "library", "size", "downloads", "likes", "fine-tuned from", "access")
    rows = [
        (
            entry.ref,
            entry.task,
            entry.library,
            amount(entry.bytes) if entry.bytes is not None else "",
            f"{entry.downloads:,}" if entry.downloads is not None else "",
            f"{entry.likes:,}" if entry.likes is not None else "",
            ", ".join(entry.base_models[:2]),
            ", ".join(word for word, holds in (("private", entry.private), ("gated", entry.gated)) if holds),
        )
        for entry in found.entries
    ]
    table = aligned(header, rows, right=("size", "downloads", "likes"))
    more = [f"more: --page {found.page + 1}"] if found.more else []
    return "\n".join([table, *unread, *more])


def _survey_table(survey: HubSurvey, missing: int) -> str:
    from merging_core.engines.pricing import amount
    from merging_core.errors import legible

    document = survey.as_json()
    rows = [
        ("model", str(survey.ref.unpinned)),
        ("commit", str(survey.ref.commit)),
        ("type", legible(str(document["model_type"] or "not said")[:80])),
        ("holds", f"{document['leaves']} leaves, {survey.elements:,} elements, {', '.join(document['dtypes'])}"),
        *(("base", name) for name in survey.about.base_models),
        *(("file", f"{file.name}  {amount(file.size or 0)}") for file in survey.files),
        ("download", f"{amount(missing)} of {amount(survey.nbytes)}" if missing else "all of it is here"),
    ]
    return "\n".join(f"{name:<8} {text}" for name, text in rows)
