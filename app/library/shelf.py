"""Puts the rooms of the library together, for `app.main`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.ledger import Ledger
from app.library.cards import Cards
from app.library.history import History
from app.library.keeping import Keeper
from app.library.links import StoredLinks
from app.library.service import Library
from app.library.store import LibraryStore
from app.live import Scheduler
from app.settings import Settings
from app.studio.workbench import Workbench

__all__ = ["Shelf", "open_shelf"]


@dataclass(frozen=True)
class Shelf:
    """The library as the app uses it."""

    store: LibraryStore
    cards: Cards
    functions: dict[str, Callable[[str, object], Any]]
    """What the page may call, by name."""


def open_shelf(settings: Settings, workbench: Workbench, ledger: Ledger, scheduler: Scheduler) -> Shelf:
    """Open the library's file and build what answers for it."""
    store = LibraryStore(settings.data, shared_disk=settings.shared_disk)
    keeper = Keeper(workbench, ledger, store, scheduler)
    rooms = (
        History(workbench, ledger, keeper),
        Library(workbench, store, keeper),
        StoredLinks(workbench, store, keeper),
    )
    functions = {name: function for room in rooms for name, function in room.functions().items()}
    return Shelf(store, Cards(store), functions)
