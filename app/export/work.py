"""The work of an export job, in its own process: merge leaf by leaf, and write the folder with card and charts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from app.job_records import RESULT
from app.worker import Reporter
from merging_core.errors import PlanError, Problem

__all__ = ["NAME", "PROGRAM_BYTES", "export"]

PROGRAM_BYTES = 400_000_000
"""What the process of an export takes before it reads anything: Python, torch and the charts."""

NAME = "app.export.work:export"
"""How a job names this work."""


def export(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Write the merge of `payload["recipe"]` into the job's folder.

    The payload is what `app.export.service` puts together. Raises PlanError if the merge is not the one that was
    planned, and whatever the streaming engine says.
    """
    import torch

    torch.set_num_threads(1)
    from app.export.table import leaves_of
    from app.hub.held_catalog import held_catalog
    from merging_core.engines import make_plan
    from merging_core.engines.identifying import watched
    from merging_core.engines.means import Room
    from merging_core.engines.pricing import amount
    from merging_core.engines.progress import Standing
    from merging_core.export import Results, export_checkpoint
    from merging_core.recipes import parse_recipe

    begun = time.monotonic()
    places = {name: payload[name] for name in ("models", "uploads", "hub_cache", "learned")}
    catalog = held_catalog(payload["zoo"], **places)

    heard = False

    def progress(standing: Standing) -> None:
        nonlocal heard
        if standing.stage == "merge" and not heard:
            heard = True
            if standing.written:
                since = standing.written / standing.output
                reporter.send("since", since)
                reporter.log(f"continues at {since:.0%}")
        share = standing.share if standing.stage == "merge" else 0.0
        reporter.progress(share, standing.what, standing.written, standing.as_json())

    with watched(progress, reporter.cancelled):
        plan = make_plan(parse_recipe(payload["recipe"]), catalog, room=Room(payload.get("memory"), PROGRAM_BYTES))
        known = plan.hash
    if known != payload["hash"]:
        must = "the checkpoints are those that the merge was planned with"
        raise PlanError(Problem(must, "files that changed", "recipe", "start the export again"))
    reporter.log(f"{plan.stages.method.title} of {len(plan.survey.experts)}: {amount(plan.output_bytes)} to write")
    reporter.progress(0.0, "drawing the charts")
    pictures = _pictures(payload["charts"])
    if pictures:
        reporter.log(f"{len(pictures)} charts drawn")

    export_checkpoint(
        plan,
        catalog,
        folder / RESULT,
        shard_bytes=payload["shard_bytes"],
        results=[Results.of(found["numbers"], found["note"], payload["data"]) for found in payload["results"]],
        pictures=pictures,
        progress=progress,
        cancelled=reporter.cancelled,
    )
    reporter.log(f"written in {time.monotonic() - begun:.1f} s")
    return {"name": payload["name"], "hash": known, "outcomes": leaves_of(plan)}


def _pictures(charts: list[dict[str, Any]]) -> list[Any]:
    from app.charts.pictures import render
    from app.charts.tables import csv_of, rows_of
    from merging_core.export import Picture

    return [
        Picture(
            f"{chart['kind']}.png",
            chart["title"].replace("\n", ", "),
            render(chart["figure"], form="png", title=chart["title"]),
            csv_of(*rows_of(chart["kind"], chart["numbers"])),
        )
        for chart in charts
    ]
