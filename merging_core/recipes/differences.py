"""What one recipe does otherwise than another, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from merging_core.masks.registry import mask
from merging_core.methods.info import Description, Parameters, ParameterValue, shown
from merging_core.methods.registry import method
from merging_core.methods.varying import Varying
from merging_core.recipes.recipe import LayerScalingSpec, ModelEntry, Recipe
from merging_core.scaling.registry import scaling

__all__ = ["differences", "name_of"]


def name_of(ref: str) -> str:
    """Return the last part of a reference, without its pin: how people call the checkpoint.

    >>> name_of("zoo:tiny/greek@0123456789abcdef")
    'greek'
    """
    return _plain(ref).rsplit("/", 1)[-1].rpartition(":")[2]


def differences(a: Recipe, b: Recipe, name: Callable[[str], str] = name_of) -> tuple[str, ...]:
    """Say how `b` differs from `a`, one phrase each, in the order in which a merge goes; none if nothing differs.

    A seed counts only where one of the two draws by it. A parameter that only `b` has (the density of a mask that `a`
    lacks) is said unless it has its default; one that only `a` has went with what brought it. `name` gives the word
    for a reference.

    >>> from merging_core.recipes.parse import parse_recipe
    >>> one = {"version": 1, "base": "zoo:tiny/base", "models": [{"ref": "zoo:a"}], "method": {"name": "ties"}}
    >>> differences(parse_recipe(one), parse_recipe({**one, "lambda": 0.5}))
    ('λ 1 → 0.5',)
    """
    return (*_base(a, b, name), *_models(a.models, b.models, name), *_methods(a, b), *_scaling(a, b), *_rest(a, b))


def _base(a: Recipe, b: Recipe, name: Callable[[str], str]) -> list[str]:
    if a.base == b.base:
        return []
    if a.base is None or b.base is None:
        return [f"no base instead of {name(a.base)}" if a.base is not None else f"base {name(b.base or '')} added"]
    if _plain(a.base) == _plain(b.base):
        return [f"base {name(b.base)} in another version"]
    return [f"base {name(b.base)} instead of {name(a.base)}"]


def _models(a: Sequence[ModelEntry], b: Sequence[ModelEntry], name: Callable[[str], str]) -> list[str]:
    before, after = ({_plain(entry.ref): entry for entry in entries} for entries in (a, b))
    phrases = [f"{name(ref)} left out" for ref in before if ref not in after]
    phrases += [f"{name(ref)} added" for ref in after if ref not in before]
    for ref, old in before.items():
        new = after.get(ref)
        if new is None:
            continue
        if _pin(old.ref) != _pin(new.ref):
            phrases.append(f"{name(ref)} in another version")
        if old.weight != new.weight:
            phrases.append(f"{name(ref)} {_value(old.weight)} → {_value(new.weight)}")
        for key in sorted({*old.params, *new.params}):
            if old.params.get(key) != new.params.get(key):
                phrases.append(f"{name(ref)}: {_changed(key, old.params.get(key), new.params.get(key))}")
        if old.statistics != new.statistics:
            what = "other statistics" if old.statistics and new.statistics else "statistics"
            phrases.append(f"{name(ref)}: {what}{'' if new.statistics else ' left out'}")
    shared = [ref for ref in before if ref in after]
    if shared != [ref for ref in after if ref in before]:
        phrases.append("the models in another order")
    return phrases


def _methods(a: Recipe, b: Recipe) -> list[str]:
    """Method and mask as one: a density means the same wherever it stands."""
    phrases = []
    old, new = method(a.method.name), method(b.method.name)
    if old.name != new.name:
        phrases.append(_instead(old, new))
    elif a.mask.kind != b.mask.kind:
        phrases.append(_instead(mask(a.mask.kind), mask(b.mask.kind)))
    infos = (old, new, mask(a.mask.kind), mask(b.mask.kind))
    before, after = (Parameters({**one.mask.params, **one.method.params}) for one in (a, b))
    return phrases + _parameters(before, after, infos)


def _scaling(a: Recipe, b: Recipe) -> list[str]:
    old, new = scaling(a.layer_scaling.kind), scaling(b.layer_scaling.kind)
    phrases = [_instead(old, new)] if old.name != new.name else []
    if phrases and new.parameters:
        return [f"{phrases[0]} ({_said(b.layer_scaling, new)})"]
    return phrases + _parameters(a.layer_scaling.params, b.layer_scaling.params, (old, new))


def _rest(a: Recipe, b: Recipe) -> list[str]:
    phrases = [f"λ {_value(a.lambda_)} → {_value(b.lambda_)}"] if a.lambda_ != b.lambda_ else []
    drawn = any(method(one.method.name).stochastic or mask(one.mask.kind).stochastic for one in (a, b))
    if drawn and a.seed != b.seed:
        phrases.append(f"seed {a.seed} → {b.seed}")
    if a.tensors != b.tensors:
        both = a.tensors is not None and b.tensors is not None
        phrases.append("other learned tensors" if both else f"learned tensors {'added' if b.tensors else 'left out'}")
    if a.vocabulary != b.vocabulary:
        phrases.append(f"vocabulary: {b.vocabulary} instead of {a.vocabulary}")
    if a.dtype != b.dtype:
        phrases.append(f"stored as {b.dtype} instead of {a.dtype}")
    return phrases


def _parameters(before: Parameters, after: Parameters, infos: Sequence[Description]) -> list[str]:
    """Say what changed; a parameter that only the new one has counts as changed from its default."""
    known = {parameter.name: parameter for info in infos for parameter in info.parameters}
    phrases = []
    for key, info in known.items():
        old, new = before.get(key), after.get(key)
        if new is not None and new != (info.default if old is None else old):
            phrases.append(_changed(_word(key, info.title), old, new))
    return phrases


def _said(spec: LayerScalingSpec, info: Description) -> str:
    """Return the numbers of a layer scaling, by the word of each."""
    numbers = [parameter for parameter in info.parameters if parameter.kind == "number"]
    said = [
        f"{_word(one.name, one.title)} {_value(spec.params[one.name])}" for one in numbers if one.name in spec.params
    ]
    return ", ".join(said) or ", ".join(_value(value) for key, value in spec.params.items() if key == "points")


def _instead(old: Description, new: Description) -> str:
    return f"{_lower(new.title)} instead of {_lower(old.title)}"


def _changed(title: str, old: ParameterValue | None, new: ParameterValue | None) -> str:
    if old is None or new is None:
        return f"{title} {_value(new)}" if new is not None else f"{title} as the others’"
    return f"{title} {_value(old)} → {_value(new)}"


def _value(value: ParameterValue | None) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Varying):
        return f"({value.told(_number)})"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, tuple):
        points = [_number(point) for point in value]
        return " ".join(points if len(points) <= 8 else [*points[:7], "…"])
    return shown(value, quoted=False)


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def _word(name: str, title: str) -> str:
    return _lower(title) if title else name


def _lower(title: str) -> str:
    """Begin in lower case, unless the first word is a name such as TIES or LiNeS."""
    first = title.split(" ", 1)[0]
    return title if first[1:] != first[1:].lower() else title[:1].lower() + title[1:]


def _plain(ref: str) -> str:
    return ref.partition("@")[0] if not ref.startswith("file:") else ref


def _pin(ref: str) -> str:
    return ref.partition("@")[2] if not ref.startswith("file:") else ""
