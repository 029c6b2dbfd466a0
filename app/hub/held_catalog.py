"""The catalog inside a job's process: everything that is on this server, and nothing from anywhere else.

Whether the visitor may read it was asked when the job was planned; the process asks nobody.
"""

from __future__ import annotations

from pathlib import Path

from app.hub.held import HeldModels
from app.learned import learned_in
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.local import LocalFolders
from merging_core.checkpoints.uploads import UploadedCheckpoints
from merging_core.checkpoints.zoo import load_zoo

__all__ = ["held_catalog"]


def held_catalog(
    zoo: str,
    *,
    models: str | None = None,
    uploads: str | None = None,
    hub_cache: str | None = None,
    learned: str | None = None,
) -> Catalog:
    """Return a catalog over these folders, as a payload names them; None where the server has none of the kind."""
    return Catalog(
        load_zoo(Path(zoo)),
        hub=HeldModels(Path(hub_cache)) if hub_cache else None,
        local=LocalFolders(Path(models)) if models else None,
        uploads=UploadedCheckpoints(Path(uploads)) if uploads else None,
        learned=learned_in(Path(learned)) if learned else None,
    )
