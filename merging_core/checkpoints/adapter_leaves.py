"""Which leaves of a base a LoRA adapter changes, and how, from headers alone: names of PEFT to leaves, shapes checked.

Source: PEFT, `get_peft_model_state_dict` for the names, `get_delta_weight` of its layers for what they mean.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from merging_core.checkpoints.adapter_config import AdapterConfig
from merging_core.checkpoints.header import LeafHeader
from merging_core.checkpoints.module_names import module_names
from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["Change", "Product", "changes_of", "is_factor", "module_of"]

_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(.+)\.lora_(?:(A|B)\.weight|embedding_(A|B)|(B)\.(bias))")
_WRAPPED = re.compile(r"\.(?:modules_to_save|base_layer)(?=\.)")
_LISTED = 8
_MOST_CHECKS = 200_000
_DROPPED, _LONGEST_BEFORE = 3, 3


def is_factor(name: str) -> bool:
    """Say whether a leaf is called as PEFT calls the factors of LoRA.

    >>> is_factor("base_model.model.q_proj.lora_A.weight"), is_factor("q_proj.weight")
    (True, False)
    """
    return _FACTOR.fullmatch(name) is not None


def module_of(name: str) -> str | None:
    """Return which layer a factor belongs to, as the adapter calls it; None for a leaf that is none.

    >>> module_of("base_model.model.layers.0.q_proj.lora_A.weight"), module_of("classifier.weight")
    ('layers.0.q_proj', None)
    """
    match = _FACTOR.fullmatch(name.removeprefix(_PREFIX))
    return _WRAPPED.sub("", match.group(1)) if match is not None else None


@dataclass(frozen=True)
class Product:
    """s·left·right, added to a leaf seen as a matrix of `rows` × `columns`: leaves of the adapter, by name."""

    left: str
    right: str
    """Empty where the adapter adds `left` itself, a bias."""
    turned: bool
    """Whether left is Aᵀ and right Bᵀ, as for embeddings and for layers that hold [in, out]."""
    rows: int
    columns: int
    rank: int
    scale: float


@dataclass(frozen=True)
class Change:
    """What an adapter does to a leaf of the base."""

    replaced: str = ""
    """The adapter's leaf that stands in its place; empty where the base's own stays."""
    product: Product | None = None
    """What is added then."""


@dataclass
class _Module:
    """The factors of one layer, by A and B, and its bias."""

    a: LeafHeader | None = None
    b: LeafHeader | None = None
    bias: LeafHeader | None = None
    embedding: bool = False


@dataclass
class _Sorted:
    modules: dict[str, _Module] = field(default_factory=lambda: defaultdict(_Module))
    whole: dict[str, LeafHeader] = field(default_factory=dict)


def changes_of(  # noqa: PLR0913
    config: AdapterConfig,
    adapter: Mapping[str, LeafHeader],
    base: Mapping[str, LeafHeader],
    label: str,
    against: str,
    model: Mapping[str, Any] | None = None,
) -> dict[str, Change]:
    """Return what an adapter does to each leaf of the base that it changes; `label` and `against` call them.

    The names may begin otherwise than in the base (`transformer.h.0…` for `h.0…`), if all of them do so alike. Where
    they are none of the base's leaves, they are the names of its modules, as transformers knows them of a model with
    the configuration `model`.
    Raises CheckpointError with every name that leads to no leaf, and every wrong shape or rank.
    """
    found = _sorted(adapter.values())
    if config.ranks.expressions * len(found.modules) + config.alphas.expressions * len(found.modules) > _MOST_CHECKS:
        must, got = f"an adapter has at most {_MOST_CHECKS:,} pairs of a pattern and a module", "more"
        raise CheckpointError(Problem(must, got, label))
    targets = {module: f"{module}.weight" for module in found.modules}
    rename = _to_leaves({*targets.values(), *found.whole}, base, model or {})
    problems: list[Problem] = []
    changes: dict[str, Change] = {}
    for name, leaf in found.whole.items():
        target = base.get(rename(name))
        where = f"{label}: {leaf.name}"
        if target is None:
            problems.append(_unknown(leaf.name, rename(name), base, label, against))
        elif target.shape != leaf.shape:
            must = f"it takes the place of {target.name} of shape {list(target.shape)}"
            fix = "an adapter that adds tokens needs a base that has them too"
            problems.append(Problem(must, f"{list(leaf.shape)}", where, fix))
        else:
            changes[target.name] = Change(replaced=leaf.name)
    for module, parts in found.modules.items():
        changes |= _of_module(config, module, parts, rename, base, changes, problems, label, against)
    if not changes and not problems:
        problems.append(Problem("an adapter changes some leaf", "none", label))
    if problems:
        more = len(problems) - _LISTED
        rest = Problem("every leaf of an adapter fits its base", f"{more} more that do not", label)
        raise CheckpointError(*problems[:_LISTED], *([rest] if more > 0 else []))
    return {name: changes[name] for name in base if name in changes}


def _of_module(  # noqa: PLR0913
    config: AdapterConfig,
    module: str,
    parts: _Module,
    rename: Callable[[str], str],
    base: Mapping[str, LeafHeader],
    known: Mapping[str, Change],
    problems: list[Problem],
    label: str,
    against: str,
) -> dict[str, Change]:
    where = f"{label}: {module}"
    changes: dict[str, Change] = {}
    first = parts.a or parts.b or parts.bias
    assert first is not None
    target = base.get(rename(f"{module}.weight"))
    if target is None:
        problems.append(_unknown(first.name, rename(f"{module}.weight"), base, label, against))
        return {}
    if parts.a is None or parts.b is None:
        problems.append(Problem("a layer has both factors, A and B", f"only {first.name}", where))
        return {}
    rank, scale = config.rank_of(module), config.scale_of(module)
    product = _product(parts.a, parts.b, target, rank, scale, config.fan_in_fan_out or parts.embedding, problems, where)
    if product is not None:
        changes[target.name] = Change(known[target.name].replaced if target.name in known else "", product)
    if parts.bias is not None:
        bias = base.get(rename(f"{module}.bias"))
        if bias is None or bias.shape != parts.bias.shape:
            must = f"it adds to a bias of shape {list(parts.bias.shape)}"
            got = "no such leaf" if bias is None else f"{list(bias.shape)}"
            problems.append(Problem(must, got, f"{label}: {parts.bias.name}"))
        else:
            added = Product(parts.bias.name, "", False, bias.elements, 1, 1, scale)
            changes[bias.name] = Change(known[bias.name].replaced if bias.name in known else "", added)
    return changes


def _product(  # noqa: PLR0913
    a: LeafHeader,
    b: LeafHeader,
    target: LeafHeader,
    rank: int,
    scale: float,
    turned: bool,
    problems: list[Problem],
    where: str,
) -> Product | None:
    if not a.shape or a.shape[0] != rank or len(b.shape) < 2 or b.shape[1] != rank or math.prod(b.shape[2:]) != 1:
        must = f"A is [{rank}, in] and B is [out, {rank}], as the rank of its configuration says"
        problems.append(Problem(must, f"A {list(a.shape)} and B {list(b.shape)}", where))
        return None
    made = (b.shape[0], *a.shape[1:])
    straight, across = made == target.shape, len(made) == 2 and made[::-1] == target.shape
    if not straight and not across:
        must = f"B·A has the shape of {target.name}, {list(target.shape)}"
        problems.append(Problem(must, f"{list(made)}", where, "take the base that the adapter was trained on"))
        return None
    rows = target.shape[0]
    columns = math.prod(target.shape[1:])
    if across and (turned or not straight):
        return Product(a.name, b.name, True, rows, columns, rank, scale)
    return Product(b.name, a.name, False, rows, columns, rank, scale)


def _sorted(leaves: Iterable[LeafHeader]) -> _Sorted:
    """Sort the leaves of an adapter into the factors of layers, and those that replace others."""
    found = _Sorted()
    for leaf in leaves:
        name = leaf.name.removeprefix(_PREFIX)
        match = _FACTOR.fullmatch(name)
        if match is None:
            found.whole[_WRAPPED.sub("", name)] = leaf
            continue
        module = found.modules[_WRAPPED.sub("", match.group(1))]
        if match.group(5):
            module.bias = leaf
        elif "A" in match.groups()[1:]:
            module.a = leaf
        else:
            module.b = leaf
        module.embedding = module.embedding or match.group(3) is not None
    return found


@dataclass(frozen=True)
class Renaming:
    """How a name begins in the adapter, and how in the base."""

    dropped: str = ""
    before: str = ""

    def __call__(self, name: str) -> str:
        """Return the base's name of a leaf.

        >>> Renaming("transformer.", "")("transformer.h.0.attn.c_attn.weight")
        'h.0.attn.c_attn.weight'
        """
        return self.before + name.removeprefix(self.dropped)


def _to_leaves(targets: set[str], base: Mapping[str, LeafHeader], model: Mapping[str, Any]) -> Callable[[str], str]:
    """Return what leads from an adapter's names to leaves: their own, or by way of the modules where all are known."""
    plain = _renaming(targets, base)
    if all(plain(name) in base for name in targets):
        return plain
    modules = module_names(model, base)
    among = _renaming(targets, modules)
    if not all(among(name) in modules for name in targets):
        return plain
    return lambda name: modules.get(among(name), among(name))


def _renaming(targets: set[str], base: Collection[str]) -> Renaming:
    """Return the change of beginnings by which every target is a leaf; none where the names are right or none fits."""
    if targets <= set(base):
        return Renaming()
    one = min(targets)
    parts = one.split(".")
    for count in range(min(_DROPPED, len(parts) - 1) + 1):
        dropped = ".".join(parts[:count]) + "." if count else ""
        if not all(name.startswith(dropped) for name in targets):
            break
        rest = one.removeprefix(dropped)
        starts = sorted(name[: -len(rest)] for name in base if name == rest or name.endswith(f".{rest}"))
        fits = [
            Renaming(dropped, start)
            for start in starts
            if start.count(".") <= _LONGEST_BEFORE and all(Renaming(dropped, start)(name) in base for name in targets)
        ]
        if len(fits) == 1:
            return fits[0]
    return Renaming()


def _unknown(name: str, wanted: str, base: Mapping[str, LeafHeader], label: str, against: str) -> Problem:
    must, got = f"it leads to a leaf of {against}", f"{wanted}, which is none,"
    return Problem(must, got, f"{label}: {name}", closest(wanted, base))
