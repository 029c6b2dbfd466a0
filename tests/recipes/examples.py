"""Recipes that several tests use."""

from __future__ import annotations

from typing import Any

from merging_core.methods.registry import methods

EXPERTS = [{"ref": "zoo:tiny/digits"}, {"ref": "zoo:tiny/letters"}]
PINS = {
    "zoo:tiny/base": "zoo:tiny/base@" + "0" * 16,
    "zoo:tiny/digits": "zoo:tiny/digits@" + "1" * 16,
    "zoo:tiny/letters": "zoo:tiny/letters@" + "2" * 16,
    "zoo:tiny/shapes": "zoo:tiny/shapes@" + "3" * 16,
}


def mapping(name: str = "task_arithmetic", **changes: Any) -> dict[str, Any]:
    """A small valid recipe of a method, with two experts or as many as it takes, and with some keys changed."""
    most = {info.name: info.models[1] for info in methods()}.get(name)
    return {"version": 1, "base": "zoo:tiny/base", "models": EXPERTS[:most], "method": {"name": name}, **changes}
