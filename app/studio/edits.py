"""The structural changes that the page may ask for, by the kind that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import state as transitions
from app.families import Family
from app.state import StudioState
from app.studio.messages import MessageError
from merging_core.errors import Problem, closest

__all__ = ["CHANGES", "edited"]

CHANGES = {
    "family": "family",
    "method": "name",
    "mask": "mask",
    "scaling": "scaling",
    "alpha_rule": "rule",
    "experts": "experts",
    "path": "path",
    "reset": None,
}
"""For each kind of change, the key beside `kind` that says what to change to."""
_MAY_HOLD = {"method": frozenset({"models"})}
"""For some kinds, more that a change may hold: beside a method, the models that were merged before one took fewer."""


def edited(state: StudioState, change: Mapping[str, Any], families: tuple[Family, ...]) -> StudioState:
    """Return the state after one change.

    Raises: `MessageError` for a change of an unknown form, `RecipeError` if the state does not allow it.
    """
    kind = change.get("kind")
    if not isinstance(kind, str) or kind not in CHANGES:
        shown = str(kind)[:60]
        raise MessageError(Problem("a change is known by its kind", shown, "change.kind", closest(shown, CHANGES)))
    key = CHANGES[kind]
    wanted = {"kind", key} - {None}
    if set(change) - _MAY_HOLD.get(kind, frozenset()) != wanted:
        must = f"a change of {kind} holds {' and '.join(sorted(str(name) for name in wanted))}"
        got = ", ".join(sorted(str(name)[:30] for name in list(change)[:6]))
        raise MessageError(Problem(must, got, "change"))
    value = change[key] if key is not None else None
    match kind:
        case "family":
            return transitions.choose_family(state, value, families)
        case "method":
            return transitions.choose_method(state, value, families, change.get("models"))
        case "mask":
            return transitions.choose_mask(state, value)
        case "scaling":
            return transitions.choose_scaling(state, value)
        case "alpha_rule":
            return transitions.choose_alpha_rule(state, value)
        case "experts":
            return transitions.choose_experts(state, value, families)
        case "path":
            return transitions.choose_path(state, value, families)
        case _:
            return transitions.reset(state, families)
