"""The work of a publishing job, in its own process: the export's files go to the Hub in one commit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from app.worker import Reporter
from merging_core.checkpoints.templates import folder_files
from merging_core.errors import BasinError, CancelledError, CheckpointError, Problem

__all__ = ["NAME", "publish"]

NAME = "app.publish.work:publish"
"""How a job names this work."""


def publish(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Publish the export in `payload["folder"]` with the token that the server gave to this process.

    Raises: what `merging_core.hub.publish` does; `CheckpointError` if the export was deleted meanwhile.
    """
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from merging_core.engines.pricing import amount
    from merging_core.hub import publish as hub

    disable_progress_bars()
    mine = folder / Path(payload["name"]).name
    total = _hold(Path(payload["folder"]), mine)
    reporter.log(f"{amount(total)} to send to {payload['repo']}")
    said = ""

    def progress(share: float, what: str) -> None:
        nonlocal said
        reporter.progress(share, what, int(share * total))
        if what != said:
            reporter.log(what)
            said = what

    try:
        made = hub.publish(
            mine,
            payload["repo"],
            reporter.secret,
            private=payload["private"],
            create=payload["create"],
            as_pull_request=payload["as_pull_request"],
            licence_override=payload["licence"],
            progress=progress,
            cancelled=reporter.cancelled,
            leaves=reporter.leaves,
            endpoint=payload["endpoint"],
        )
    except BasinError as error:
        # A cancelled job has no problems of its own: what stays behind is all that it has to say.
        reporter.leaves(*error.problems[1:] if isinstance(error, CancelledError) else ())
        raise
    finally:
        shutil.rmtree(mine, ignore_errors=True)
    if made.removed:
        reporter.log(f"taken out: {', '.join(made.removed)}")
    reporter.log(f"commit {made.commit}")
    return {"name": made.repo_id, **made.as_json()}


def _hold(source: Path, mine: Path) -> int:
    """Give this job the files of an export, so that it may be deleted meanwhile; return their bytes."""
    try:
        mine.mkdir()
        files = folder_files(source)
        for name, path in files.items():
            (mine / name).parent.mkdir(exist_ok=True)
            try:
                os.link(path, mine / name, follow_symlinks=False)
            except OSError:
                shutil.copyfile(path, mine / name, follow_symlinks=False)
        return sum((mine / name).lstat().st_size for name in files)
    except FileNotFoundError:
        must = "the export is still there"
        raise CheckpointError(Problem(must, "one that was deleted", "job", "export the merge again")) from None
