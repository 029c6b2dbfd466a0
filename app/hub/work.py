"""The work of a download job, in its own process: fetch what is missing of each model, with the visitor's token."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from app.worker import Reporter

__all__ = ["NAME", "download"]

NAME = "app.hub.work:download"
"""How a job names this work."""


def download(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Download `payload["models"]`, each a reference and its bytes, into the cache that all visitors share.

    What came stays there when the job stops, and the next one goes on from there.
    Raises HubError, CheckpointError for files that are no checkpoint, CancelledError.
    """
    from merging_core.checkpoints.ref import parse_ref
    from merging_core.engines.pricing import amount
    from merging_core.hub.client import Hub
    from merging_core.hub.download import COMPLETE_NAME

    begun = time.monotonic()
    limits: dict[str, Any] = {"largest": payload["largest"], "budget": payload["budget"]}
    hub = Hub(payload["endpoint"], reporter.secret, Path(payload["cache"]), **limits)
    total = max(1, sum(model["bytes"] for model in payload["models"]))
    before = 0
    for model in payload["models"]:
        ref = parse_ref(model["ref"])

        def tell(share: float, what: str, before: int = before, size: int = model["bytes"]) -> None:
            done = before + int(share * size)
            reporter.progress(done / total, what, done)

        held = hub.download(ref, tell, reporter.cancelled)
        before += model["bytes"]
        for path in sorted(held.iterdir()):
            if path.is_file() and path.name != COMPLETE_NAME and not path.name.startswith("."):
                reporter.log(f"{path.name} of {ref.label} is here, {amount(path.stat().st_size)}")
    reporter.progress(1.0, "", before)
    reporter.log(f"done in {time.monotonic() - begun:.1f} s")
    return {"refs": [model["ref"] for model in payload["models"]], "bytes": before}
