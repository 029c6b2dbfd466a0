"""What the page asks about the examples: which there are, and how each merge does, measured here when first asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from app.gallery.examples import Example
from app.live import Cancelled, Scheduler
from app.notices import Answer, answers, answers_in_turn
from app.state import StudioState, parse_state
from app.studio.memo import Memo
from app.studio.messages import MessageError, is_text, message_of
from app.studio.workbench import Numbers, Workbench
from merging_core.errors import Problem, RecipeError, closest

__all__ = ["Gallery"]

_LOG = logging.getLogger("basin")


class Gallery:
    """The examples whose checkpoints this server has; a measurement is taken once and kept.

    Methods take a visitor's id and a message, and return an answer; none raises.
    """

    def __init__(self, examples: tuple[Example, ...], workbench: Workbench, scheduler: Scheduler) -> None:
        self._workbench = workbench
        self._scheduler = scheduler
        self._examples = {example.name: example for example in examples}
        self._states = {name: state for name, example in self._examples.items() if (state := self._opened(example))}
        self._measured: Memo[Numbers] = Memo(max(1, len(self._states)))

    def functions(self) -> dict[str, Callable[[str, object], Any]]:
        """Return what the page may call, by name."""
        return {"examples": self.examples, "measure_example": self.measure_example}

    @answers
    def examples(self, visitor: str, message: object) -> Answer:
        """List the examples with the state that each opens, and with its numbers where they are known already."""
        message_of(message, {})
        return {"examples": [self._row(name, state) for name, state in self._states.items()]}

    @answers_in_turn
    async def measure_example(self, visitor: str, message: object) -> Answer:
        """Measure one example on the full validation split, in its turn behind everything live."""
        fields = message_of(message, {"name": (True, "name is text of at most 80 characters", is_text(80))})
        name, numbers = fields["name"], self._measured.known(fields["name"])
        if name not in self._states:
            raise MessageError(
                Problem("an example is known by name", name, "message.name", closest(name, self._states))
            )
        if numbers is None:

            def work(cancelled: Cancelled) -> Numbers:
                return self._measured.get(name, lambda: self._measure(name, cancelled), cancelled)

            # A place of its own among the visitor's requests: no slider makes it worthless.
            future = self._scheduler.submit(visitor, "examples", "example", 0, work)
            numbers = await asyncio.wrap_future(future)
        return {"name": name, "numbers": numbers}

    def _measure(self, name: str, cancelled: Cancelled) -> Numbers:
        return self._workbench.accuracy(self._states[name], "validation", "full", cancelled).numbers

    def _row(self, name: str, state: StudioState) -> Numbers:
        example = self._examples[name]
        return {
            "name": name,
            "title": example.title,
            "sentence": example.sentence,
            "state": state.as_json(),
            "numbers": self._measured.known(name),
        }

    def _opened(self, example: Example) -> StudioState | None:
        """Read the example's state against the families of this server; another zoo may lack its checkpoints."""
        try:
            return parse_state(example.state(), self._workbench.families)
        except RecipeError as error:
            _LOG.info("the example %s is left out: %s", example.name, error)
            return None
