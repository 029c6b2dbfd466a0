"""A complete checkpoint folder: weights, configuration, recipe, card and charts; whole or not there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merging_core.checkpoints.companions import companions_of
from merging_core.checkpoints.growing import check_target
from merging_core.checkpoints.shards import shards
from merging_core.engines.identifying import identify
from merging_core.engines.lanes import CORES, Lane
from merging_core.engines.plan import Opens, Plan
from merging_core.engines.streaming import Cancelled, Progress, stream_merge
from merging_core.export.card import Picture, model_card
from merging_core.export.results import Results

__all__ = ["CARD_NAME", "export_checkpoint"]

CARD_NAME = "README.md"


def export_checkpoint(  # noqa: PLR0913
    plan: Plan,
    catalog: Opens,
    out_dir: str | Path,
    *,
    shard_bytes: int | None = None,
    results: Sequence[Results] = (),
    pictures: Sequence[Picture] = (),
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    overwrite: bool = False,
    lane: Lane = CORES,
) -> Path:
    """Carry out a plan and write the merged checkpoint with its card as a new folder; return the folder.

    Beside what `stream_merge` writes there are `README.md`, the card with `results`, the files of each picture, and of
    the base (else the first model) what says how inputs are made and texts written: `COMPANIONS`.
    Raises as `stream_merge` and `model_card` do; what stands in the way of writing is said before a byte is read.
    """
    check_target(out_dir, plan.output_bytes, overwrite=overwrite)
    shards(plan.outputs, shard_bytes)
    identify(plan, progress, cancelled)
    card = model_card(plan, results, pictures, shard_bytes=shard_bytes)
    extra: dict[str, str | bytes] = {**companions_of(plan.survey.reference), CARD_NAME: card}
    for picture in pictures:
        extra |= picture.files
    return stream_merge(
        plan,
        catalog,
        out_dir,
        progress=progress,
        cancelled=cancelled,
        overwrite=overwrite,
        shard_bytes=shard_bytes,
        extra=extra,
        lane=lane,
    )
