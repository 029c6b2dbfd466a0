"""What the command line takes from its environment: the token, the Hub's address, where downloads are kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from merging_core.caches import cache_folder
from merging_core.checkpoints.local import LocalFolders
from merging_core.errors import HubError, Problem

if TYPE_CHECKING:
    from merging_core.checkpoints.reader import Checkpoint
    from merging_core.checkpoints.ref import Ref
    from merging_core.hub.client import Hub

__all__ = [
    "CACHE_GIGABYTES",
    "HubWhenAsked",
    "cache_budget",
    "folders_of_environment",
    "hub_of_environment",
    "hub_token",
]

CACHE_GIGABYTES = 100
"""What downloads may take where BASIN_CACHE_GB is not set."""


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
        budget=cache_budget(environment),
        own_cache=True,
        notice=lambda sentence: print(sentence, file=sys.stderr),
    )


class HubWhenAsked:
    """The Hub of the environment, loaded when something of it is asked for: most recipes name none of its models."""

    @cached_property
    def _hub(self) -> Hub:
        return hub_of_environment()

    def open(self, ref: Ref, /) -> Checkpoint:
        """Open a checkpoint as `Hub.open` does; raises as that and `hub_of_environment` do, as all of these."""
        return self._hub.open(ref)

    def check_access(self, ref: Ref, /) -> None:
        """Check as `Hub.check_access` does."""
        self._hub.check_access(ref)

    def pin(self, ref: Ref, /) -> Ref:
        """Pin as `Hub.pin` does."""
        return self._hub.pin(ref)

    def missing_bytes(self, ref: Ref, /) -> int:
        """Count as `Hub.missing_bytes` does."""
        return self._hub.missing_bytes(ref)

    def download(
        self, ref: Ref, /, progress: Callable[[float, str], None] | None, cancelled: Callable[[], bool] | None
    ) -> Path:
        """Download as `Hub.download` does."""
        return self._hub.download(ref, progress, cancelled)


def folders_of_environment(environment: Mapping[str, str] = os.environ) -> LocalFolders | None:
    """Return the folders below BASIN_MODELS, which `local:` references mean; None where it is not set.

    >>> folders_of_environment({}) is None
    True
    """
    asked = environment.get("BASIN_MODELS")
    return LocalFolders(Path(asked).expanduser()) if asked else None


def cache_budget(environment: Mapping[str, str]) -> int:
    """Return how many bytes downloads may take, from BASIN_CACHE_GB.

    Raises HubError where that is no whole number.

    >>> cache_budget({"BASIN_CACHE_GB": "2"})
    2000000000
    """
    text = environment.get("BASIN_CACHE_GB", "").strip() or str(CACHE_GIGABYTES)
    if not (text.isascii() and text.isdigit() and int(text[:8]) > 0 and len(text) < 8):
        must = "BASIN_CACHE_GB is a whole number of gigabytes"
        raise HubError(Problem(must, ascii(text[:40]), "BASIN_CACHE_GB", f"the default is {CACHE_GIGABYTES}"))
    return int(text) * 1_000_000_000
