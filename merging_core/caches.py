"""Where this machine keeps what can be made or fetched again."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "own_folder"]


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


def own_folder(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return a folder of the cache, made where it is missing; nothing where it is not this user's alone to write.

    What lies in it is believed, or run.
    """
    folder = cache_folder(environment) / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
    except OSError:
        return None
    alone = not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)
    return folder if alone else None
