"""How PEFT names what an adapter holds: the factors of a layer, and leaves that it keeps whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from merging_core.analysis.layers import all_modules, holds_children, module_of

__all__ = ["PREFIX", "kept_whole", "names_of_factors"]

PREFIX = "base_model.model."
"""What stands before the name of every leaf."""


def names_of_factors(module: str) -> tuple[str, str]:
    """Return the names of A and B of a linear layer.

    >>> names_of_factors("layers.0.q_proj")
    ('base_model.model.layers.0.q_proj.lora_A.weight', 'base_model.model.layers.0.q_proj.lora_B.weight')
    """
    return f"{PREFIX}{module}.lora_A.weight", f"{PREFIX}{module}.lora_B.weight"


def kept_whole(asked: Iterable[str], targets: Collection[str], names: Collection[str]) -> dict[str, str]:
    """Return what PEFT can keep whole of the leaves `asked` for, with all leaves of their layers, and its names.

    `targets` are the layers with factors, of which only the bias can be kept; `names` are all leaves of the model. What
    belongs to no layer of its own, or to one whose name ends the name of another that is not kept, cannot be kept.

    >>> names = ["scale", "norm.weight", "norm.bias", "q.weight", "q.bias"]
    >>> kept_whole(["scale", "norm.bias", "q.bias"], {"q"}, names)  # doctest: +NORMALIZE_WHITESPACE
    {'norm.weight': 'base_model.model.norm.weight', 'norm.bias': 'base_model.model.norm.bias',
     'q.bias': 'base_model.model.q.base_layer.bias'}
    """
    asked, parents, modules = list(asked), holds_children(names), all_modules(names)
    biases = {name for name in asked if module_of(name) in targets and name.endswith(".bias")}
    kept = {module_of(name) for name in asked} - set(targets) - parents
    hidden = {module for module in kept if any(other.endswith(module) for other in modules - kept)}
    found = {}
    for name in names:
        module = module_of(name)
        if name in biases:
            found[name] = f"{PREFIX}{module}.base_layer.bias"
        elif module in kept - hidden:
            found[name] = f"{PREFIX}{name}"
    return found
