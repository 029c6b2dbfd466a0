"""What there is on the Hub: `hub search` and `hub show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer
from merging_core.cli.tables import aligned

if TYPE_CHECKING:
    from merging_core.hub.headers import HubSurvey
    from merging_core.hub.search import Found

__all__ = ["hub"]


def hub(
    action: Annotated[
        Literal["search", "show"],
        typer.Argument(help="Find models, or show one from its headers without downloading it."),
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
    as_json: AsJson = False,
) -> None:
    """Find models on the Hub, or show what one holds before a download, with the token in HF_TOKEN if there is one."""
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
    document = {"models": [entry.as_json() for entry in models.entries], "page": models.page, "more": models.more}
    answer(_models_table(models), document, as_json=as_json)


def _models_table(found: Found) -> str:
    from merging_core.engines.pricing import amount

    if not found.entries:
        return "No model found."
    header = ("model", "task", "library", "size", "downloads", "likes", "fine-tuned from", "access")
    rows = [
        (
            entry.ref,
            entry.task,
            entry.library,
            amount(entry.bytes) if entry.bytes is not None else "",
            f"{entry.downloads:,}",
            f"{entry.likes:,}",
            ", ".join(entry.base_models[:2]),
            ", ".join(word for word, holds in (("private", entry.private), ("gated", entry.gated)) if holds),
        )
        for entry in found.entries
    ]
    table = aligned(header, rows, right=("size", "downloads", "likes"))
    return f"{table}\nmore: --page {found.page + 1}" if found.more else table


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
