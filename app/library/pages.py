"""A result as its page shows it: numbers, figures drawn from them, recipe, versions; nothing is computed again."""

from __future__ import annotations

import math
from typing import Any

from app.charts import accuracy as accuracy_chart
from app.charts import layers as layers_chart
from app.charts import path as path_chart
from app.library.result import Result
from app.state import StudioState, parse_state
from app.studio.workbench import Workbench
from merging_core.errors import BasinError
from merging_core.recipes import parse_recipe, recipe_to_yaml

__all__ = ["page_of", "state_of", "summary"]


def page_of(result: Result, test: dict[str, Any] | None, workbench: Workbench) -> dict[str, Any]:
    """Return everything that a result's page shows; `state` is null where it cannot be opened, and `why` says why."""
    numbers = {"accuracy": result.accuracy, "path": result.path, "layers": result.layers, "test": test}
    drawn = {"accuracy": accuracy_chart, "path": path_chart, "layers": layers_chart, "test": accuracy_chart}
    figures = {name: drawn[name].figure_of(value) for name, value in numbers.items() if value is not None}
    state, why = state_of(result, workbench)
    return {
        "label": result.label,
        "family": result.family,
        "hash": result.hash,
        "evaluation": result.evaluation,
        "environment": result.environment,
        "measured": result.measured,
        "imported": result.imported,
        "recipe": result.recipe,
        "yaml": recipe_to_yaml(parse_recipe(result.recipe)),
        "pins": result.pins,
        "numbers": numbers,
        "figures": figures,
        "state": state.as_json() if state is not None else None,
        "why": why,
    }


def state_of(result: Result, workbench: Workbench) -> tuple[StudioState | None, str]:
    """Return the studio's state that shows this merge, or a sentence that says why there is none."""
    given = {"version": 1, "family": result.family, "recipe": result.recipe, "path": {"kind": "lambda"}}
    try:
        return parse_state(given, workbench.families), ""
    except BasinError as error:
        return None, f"This Basin cannot open it in the studio. {error.problems[0]}"


def summary(result: Result) -> tuple[str, str]:
    """Return a title and one sentence for those who have not opened the page yet."""
    average, n = result.accuracy["average"], len(result.accuracy["tasks"])
    low, high = average["interval"] or (average["accuracy"], average["accuracy"])
    what = f"on {n} tasks" if n > 1 else "accuracy"
    sentence = (
        f"Validation split, n {result.accuracy['n']}, 95 % interval {_percent(low)} to {_percent(high)} %; "
        f"Basin {result.environment['basin']} on {result.environment['device']}, {result.measured[:10]}."
    )
    title = f"{result.label}: {_percent(average['accuracy'])} ± {_percent((high - low) / 2)} % {what}"
    return title, f"{sentence} Imported from a file." if result.imported else sentence


def _percent(share: float) -> str:
    """Return a fraction in percent with one digit, halves away from zero as the page writes them.

    >>> _percent(0.5525)
    '55.3'
    """
    return f"{math.floor(1000 * share + 0.5) / 10:.1f}"
