"""Commits of several models are looked for at the same time, and what is refused is kept for each."""

from __future__ import annotations

from threading import Barrier

import pytest

from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import HubAwayError, Problem
from merging_core.recipes import parse_recipe
from merging_core.recipes.resolving import references, resolve

COMMIT = "0123456789" * 4
NAMES = ("ada/base", "ada/digits", "ada/letters")
RECIPE = parse_recipe(
    {
        "version": 1,
        "base": f"hub:{NAMES[0]}",
        "models": [{"ref": f"hub:{NAMES[1]}"}, {"ref": f"hub:{NAMES[2]}@{COMMIT}"}, {"ref": "zoo:tiny/digits"}],
        "method": {"name": "task_arithmetic"},
    }
)


def test_nobody_waits_for_one_model_after_the_other() -> None:
    together = Barrier(len(NAMES), timeout=10)

    def pin(text: str) -> Ref:
        together.wait()
        return Ref("hub", parse_ref(text).path, COMMIT)

    found = resolve(RECIPE, pin)
    assert found.refusals == {}
    assert references(found.recipe) == (*(f"hub:{name}@{COMMIT}" for name in NAMES), "zoo:tiny/digits")


@pytest.mark.parametrize("by", ["pin", "look"])
def test_what_is_refused_stays_as_it_was_written_with_its_reason(by: str) -> None:
    def refuse(text: str) -> None:
        if "digits" in text:
            raise HubAwayError(Problem("it is there", "nothing", text))

    def pin(text: str) -> Ref:
        if by == "pin":
            refuse(text)
        return Ref("hub", parse_ref(text).path, COMMIT)

    found = resolve(RECIPE, pin, refuse if by == "look" else None)
    assert list(found.refusals) == ["hub:ada/digits"]
    assert references(found.recipe)[:2] == (f"hub:ada/base@{COMMIT}", "hub:ada/digits")
