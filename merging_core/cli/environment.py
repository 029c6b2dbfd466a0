"""What the command line takes from its environment: the token, the Hub's address, where downloads are kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from merging_core.checkpoints.local import LocalFolders

if TYPE_CHECKING:
    from merging_core.hub.client import Hub

__all__ = ["cache_folder", "folders_of_environment", "hub_of_environment", "hub_token"]


def hub_token(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token in HF_TOKEN; None where there is none. A token that is kept elsewhere is never taken."""
    return environment.get("HF_TOKEN", "").strip() or None


def hub_of_environment(environment: Mapping[str, str] = os.environ) -> Hub:
    """Return the Hub at HF_ENDPOINT, with downloads below BASIN_CACHE; the cache is this person's own.

    Raises HubError where the address is none.
    """
    from merging_core.hub.client import HUGGING_FACE, Hub

    return Hub(
        environment.get("HF_ENDPOINT") or HUGGING_FACE,
        hub_token(environment),
        cache_folder(environment) / "hub",
        own_cache=True,
        notice=lambda sentence: print(sentence, file=sys.stderr),
    )


def folders_of_environment(environment: Mapping[str, str] = os.environ) -> LocalFolders | None:
    """Return the folders below BASIN_MODELS, which `local:` references mean; None where it is not set.

    >>> folders_of_environment({}) is None
    True
    """
    asked = environment.get("BASIN_MODELS")
    return LocalFolders(Path(asked).expanduser()) if asked else None


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return BASIN_CACHE, or the folder that the system has for such things.

    >>> str(cache_folder({"BASIN_CACHE": "/big/disk"}))
    '/big/disk'
    """
    asked = environment.get("BASIN_CACHE")
    if asked:
        return Path(asked).expanduser()
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "Basin"
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "Basin" / "Cache"
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "basin"
