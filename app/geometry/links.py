"""A study in the address: `g=1.<payload>` beside the state's `s`, in the same form, for ever.

The studio's own merge among its models is written as `"merge"`, since the state beside it carries that recipe.
"""

from __future__ import annotations

from typing import Any

from app.families import Family
from app.geometry.question import Question, question_of
from app.sharing import link
from app.state import StudioState
from merging_core.analysis.studies.spec import StudySpec

__all__ = ["query_of", "read_link"]

_MERGE = "merge"


def query_of(state: StudioState, spec: StudySpec) -> str:
    """Return the query that opens a state with a study of it.

    Raises LinkError where that is too long for an address.
    """
    document = spec.as_json()
    own = {"recipe": state.recipe.as_json()}
    models: Any = document["models"]
    document["models"] = [_MERGE if model == own else model for model in models]
    return f"s={link.encode(state.as_json())}&g={link.encode(document)}"


def read_link(value: str, state: StudioState, families: tuple[Family, ...]) -> Question:
    """Read the value of `g` beside a state. Raises LinkError and whatever is wrong with the study."""
    document = link.decode(value)
    models = document.get("models")
    if isinstance(models, list):
        own = {"recipe": state.recipe.as_json()}
        document["models"] = [own if model == _MERGE else model for model in models]
    return question_of(document, state, families)
