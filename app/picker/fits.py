"""Which methods fit what is merged now: what each would take, how long it would need, or why it cannot."""

from __future__ import annotations

from app.families import Family, plain
from app.own_family import family_named
from app.state import StudioState, choose_method
from app.studio.workbench import Numbers, Workbench
from merging_core.errors import BasinError, CheckpointError
from merging_core.methods.contract import MethodInfo
from merging_core.methods.registry import methods

__all__ = ["fits_of"]


def fits_of(state: StudioState, models: object, workbench: Workbench) -> list[Numbers]:
    """Return for each method: whether it `fits` the chosen experts, a `note` if not, `seconds`, and what keeps it out.

    `models`: those that were merged before the present method took fewer, as `choose_method` has them. `problem` is a
    sentence where the method cannot be chosen at all, else None; `seconds` is None where it is not known.
    """
    family = family_named(workbench.families, state.family)
    return [_fit(info, state, models, workbench, family) for info in methods()]


def _fit(info: MethodInfo, state: StudioState, models: object, workbench: Workbench, family: Family) -> Numbers:
    found: Numbers = {"name": info.name, "fits": False, "note": "", "seconds": None, "problem": None}
    try:
        there = choose_method(state, info.name, workbench.families, models)
    except BasinError as error:
        return {**found, "problem": " ".join(str(problem) for problem in error.problems)}
    before = _refs(state) if models is None else _former(models)
    if _refs(there) != before:
        titles = [family.title_of(entry.ref) for entry in there.recipe.models]
        found["note"] = f"merges {_listed(titles)} {'only' if len(titles) < len(before) else 'instead'}"
    try:
        found["seconds"] = workbench.waiting(there)
    except CheckpointError:
        pass  # Not downloaded yet: nothing is known of its time, and it is no reason against the method.
    except BasinError as error:
        return {**found, "problem": " ".join(str(problem) for problem in error.problems)}
    return {**found, "fits": not found["note"]}


def _refs(state: StudioState) -> list[str]:
    return [plain(entry.ref) for entry in state.recipe.models]


def _former(models: object) -> list[str]:
    entries = models if isinstance(models, list) else []
    return [plain(entry.get("ref")) for entry in entries if isinstance(entry, dict)]


def _listed(titles: list[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
