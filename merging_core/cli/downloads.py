"""From references to checkpoints that can be read: revisions resolved once, and what is missing downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from merging_core.checkpoints import Catalog, Checkpoint
from merging_core.checkpoints.ref import parse_ref
from merging_core.cli.progress import ProgressLine
from merging_core.engines import make_plan
from merging_core.engines.means import Room
from merging_core.errors import BasinError
from merging_core.recipes import Recipe
from merging_core.recipes.resolving import references, resolve

__all__ = ["opened", "readable", "readable_recipe"]


def readable(text: str, catalog: Catalog) -> str:
    """Return a reference to what can be read: on the Hub, the commit that it means now, downloaded if it was not."""
    if parse_ref(text).scheme != "hub":
        return text
    pinned = str(catalog.pin(text))
    with ProgressLine() as progress:
        catalog.fetch([pinned], progress)
    return pinned


def opened(texts: Sequence[str], catalog: Catalog, check: Callable[[list[Checkpoint]], None]) -> list[Checkpoint]:
    """Open several references, with everything of the Hub here; `check` sees all headers before anything is downloaded.

    Raises as `check` does, and CheckpointError or HubError with every problem of all of them.
    """
    pins, headers, errors = list[str](), list[Checkpoint](), list[BasinError]()
    for text in texts:
        try:
            pins.append(str(catalog.pin(text)) if parse_ref(text).scheme == "hub" else text)
            headers.append(catalog.open(pins[-1]))
        except BasinError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])(*dict.fromkeys(problem for error in errors for problem in error.problems))
    check(headers)
    with ProgressLine() as progress:
        catalog.fetch(pins, progress)
    return [catalog.open(pin) for pin in pins]


def readable_recipe(recipe: Recipe, catalog: Catalog, room: Room | None = None) -> Recipe:
    """Return the recipe at commits of the Hub, all of it here; it is planned before anything is downloaded.

    `room` is what merging may take.

    Raises as `make_plan` does, and HubError.
    """
    if not any(parse_ref(text).scheme == "hub" for text in references(recipe)):
        return recipe
    found = resolve(recipe, catalog.pin, catalog.open)
    make_plan(found.recipe, catalog, found.refusals, room)
    missing = catalog.missing_bytes(references(found.recipe))
    if missing:
        with ProgressLine() as progress:
            catalog.fetch(missing, progress)
    return found.recipe
