"""What the method picker asks: which methods fit, and a picture of what one does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from app.charts import method_picture as method_chart
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers_in_turn
from app.own_family import family_named
from app.picker.fits import fits_of
from app.picker.pictures import MethodPictures
from app.state import StudioState, choose_method, parse_state
from app.studio.messages import is_text, message_of
from app.studio.workbench import Models, Workbench

__all__ = ["MethodPicker"]

_LARGEST_SEQUENCE = 2**53


def _is_sequence(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SEQUENCE


_MESSAGE = {
    "seq": (True, "seq is a whole number from 0 to 2⁵³", _is_sequence),
    "page": (False, "page is text of at most 64 characters", is_text(64)),
    "state": (True, "state is an object", lambda value: isinstance(value, Mapping)),
    "models": (False, "models are a list", lambda value: isinstance(value, list)),
}


class MethodPicker:
    """Methods take a visitor's id and a message, and return an answer; none raises.

    `scheduler`: a line and a thread of its own, so that no slider waits while somebody looks through the methods.
    """

    def __init__(self, workbench: Workbench, models: Models | None, scheduler: Scheduler) -> None:
        self._workbench = workbench
        self._pictures = MethodPictures(models) if models is not None else None
        self._scheduler = scheduler

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name; pictures only where there are models to look at."""
        looks = {"method_picture": self.method_picture, "leaf_names": self.leaf_names} if self._pictures else {}
        return {"method_fits": self.method_fits, **looks}

    @answers_in_turn
    async def method_fits(self, visitor: str, message: object) -> Answer:
        """Say of every method what it would merge, how long that takes, or why it cannot be chosen."""
        asked = message_of(message, _MESSAGE)
        state = parse_state(asked["state"], self._workbench.families)

        def work(cancelled: Cancelled) -> Answer:
            return {"methods": fits_of(state, asked["models"], self._workbench)}

        return await self._turn(visitor, "fits", asked, work)

    @answers_in_turn
    async def method_picture(self, visitor: str, message: object) -> Answer:
        """Look at one method: at the state's own as it is set, at another as choosing it would set it."""
        asked = message_of(message, {**_MESSAGE, "method": (True, "method is a name", is_text(80))})
        families = self._workbench.families
        state = parse_state(asked["state"], families)
        there = self._chosen(state, asked["method"], asked["models"])
        pictures = self._pictures
        assert pictures is not None

        def work(cancelled: Cancelled) -> Answer:
            begun = time.monotonic()
            numbers = pictures.look(there, family_named(families, there.family))
            spent = round(1000 * (time.monotonic() - begun), 1)
            return {"numbers": numbers, "figures": {"method": method_chart.figure_of(numbers)}, "milliseconds": spent}

        return await self._turn(visitor, "picture", asked, work)

    @answers_in_turn
    async def leaf_names(self, visitor: str, message: object) -> Answer:
        """Name the leaves that are merged, and say how many blocks the model has, for numbers that vary among them."""
        fields = message_of(message, {"state": _MESSAGE["state"]})
        state = parse_state(fields["state"], self._workbench.families)
        pictures = self._pictures
        assert pictures is not None
        return await asyncio.to_thread(pictures.leaves, state)

    def _chosen(self, state: StudioState, name: str, models: object) -> StudioState:
        if name == state.recipe.method.name:
            return state
        return choose_method(state, name, self._workbench.families, models)

    async def _turn(
        self, visitor: str, what: str, asked: Mapping[str, Any], work: Callable[[Cancelled], Answer]
    ) -> Answer:
        page = f"{what} {asked['page'] or ''}"
        future = self._scheduler.submit(visitor, page, "look", asked["seq"], work)
        answer = await asyncio.wrap_future(future)
        return {"seq": asked["seq"], **answer}
