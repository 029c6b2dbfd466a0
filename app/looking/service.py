"""What the page asks when it looks closer: one picture or text for all models, one task of a merge, one trade-off.

Each answer waits for its turn with the scheduler, as a kind of its own on a page of its own: it is superseded by the
next of its kind and never by a slider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from app.charts import classes as classes_chart
from app.charts import confusion as confusion_chart
from app.charts import trade_off as trade_off_chart
from app.families import Family
from app.live import Cancelled, Scheduler
from app.looking.looks import Looks
from app.looking.messages import ExamplesMessage, LookMessage, TextMessage, TradeOffMessage, TryMessage
from app.looking.texts import TextLosses
from app.looking.trade_off import TradeOffs
from app.notices import Answer, answers, answers_in_turn
from app.own_family import family_named
from app.state import StudioState, parse_state
from app.studio.slow_merges import SlowMerges
from app.studio.workbench import Models
from merging_core.evaluation.report import Subset

__all__ = ["Looking"]


class Looking:
    """Methods take a visitor's id and a message, and return an answer; none raises.

    `errands`: the scheduler of what may take long, so that no slider waits while a large model reads a text.
    """

    def __init__(
        self,
        models: Models,
        families: tuple[Family, ...],
        scheduler: Scheduler,
        errands: Scheduler | None = None,
        slow: SlowMerges | None = None,
    ) -> None:
        self._families = families
        self._scheduler = scheduler
        self._slow = slow
        self._errands = errands or scheduler
        self._looks = Looks(models)
        self._trade_offs = TradeOffs(models)
        self._texts = TextLosses(models)

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {
            "try_pictures": self.try_pictures,
            "try_picture": self.try_picture,
            "look_closer": self.look_closer,
            "trade_off": self.trade_off,
            "text_loss": self.text_loss,
        }

    @answers
    def try_pictures(self, visitor: str, message: object) -> Answer:
        """Show some validation pictures of a task, to pick one from."""
        asked = ExamplesMessage.read(message)
        family = family_named(self._families, asked.family)
        return {"numbers": self._looks.examples(family, asked.task, asked.start)}

    @answers_in_turn
    async def try_picture(self, visitor: str, message: object) -> Answer:
        """Ask merge, base and experts about one picture."""
        asked = TryMessage.read(message)
        state = parse_state(asked.state, self._families)
        family = family_named(self._families, state.family)

        def work(cancelled: Cancelled) -> Answer:
            return {"numbers": self._looks.try_it(state, family, asked.task, asked.picture, asked.example, cancelled)}

        await self._ready(visitor, "try", asked.page, asked.sequence, state)
        return await self._turn(visitor, "try", asked.page, asked.sequence, work)

    @answers_in_turn
    async def look_closer(self, visitor: str, message: object) -> Answer:
        """Look at one task of a merge: classes, confusion, and what it loses and gains against the task's expert."""
        asked = LookMessage.read(message)
        state = parse_state(asked.state, self._families)
        family = family_named(self._families, state.family)

        def work(cancelled: Cancelled) -> Answer:
            numbers = self._looks.look(state, family, asked.task, cancelled)
            figures = {
                "classes": classes_chart.figure_of(numbers),
                "confusion": confusion_chart.figure_of(numbers),
            }
            return {"numbers": numbers, "figures": figures}

        await self._ready(visitor, "look", asked.page, asked.sequence, state)
        return await self._turn(visitor, "look", asked.page, asked.sequence, work)

    @answers_in_turn
    async def trade_off(self, visitor: str, message: object) -> Answer:
        """Measure more of an expert's trade-off; asked again until it is complete."""
        asked = TradeOffMessage.read(message)
        family = family_named(self._families, asked.family)
        subset: Subset = "full" if asked.subset == "full" else "preview"

        def work(cancelled: Cancelled) -> Answer:
            numbers = self._trade_offs.measure(family, asked.expert, subset, cancelled)
            return {"numbers": numbers, "figures": {"trade_off": trade_off_chart.figure_of(numbers)}}

        return await self._turn(visitor, "trade-off", asked.page, asked.sequence, work)

    @answers_in_turn
    async def text_loss(self, visitor: str, message: object) -> Answer:
        """Ask merge, base and experts how surprised they are by a text; without one, whether they read any."""
        asked = TextMessage.read(message)
        state = parse_state(asked.state, self._families)
        family = family_named(self._families, state.family)
        text = asked.text

        def work(cancelled: Cancelled) -> Answer:
            if text is None:
                return {"numbers": self._texts.about(family)}
            return {"numbers": self._texts.loss(state, family, text, cancelled)}

        if text is not None:
            await self._ready(visitor, "text", asked.page, asked.sequence, state)
        return await self._turn(visitor, "text", asked.page, asked.sequence, work, self._errands)

    async def _ready(self, visitor: str, kind: str, page: str, sequence: int, state: StudioState) -> None:
        """Wait for a slow merge where no slider waits for it."""
        if self._slow is not None:
            await self._slow.ready(visitor, f"{kind} {page}", kind, sequence, state)

    async def _turn(  # noqa: PLR0913
        self,
        visitor: str,
        kind: str,
        page: str,
        sequence: int,
        work: Callable[[Cancelled], Answer],
        scheduler: Scheduler | None = None,
    ) -> Answer:
        def timed(cancelled: Cancelled) -> Answer:
            begun = time.monotonic()
            answer = work(cancelled)
            return {**answer, "milliseconds": round(1000 * (time.monotonic() - begun), 1)}

        future = (scheduler or self._scheduler).submit(visitor, f"{kind} {page}", kind, sequence, timed)
        answer = await asyncio.wrap_future(future)
        return {"seq": sequence, **answer}
