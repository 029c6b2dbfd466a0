"""What a mergekit recipe asks for, with mergekit's defaults, and the merge of ours that is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from merging_core.errors import Problem
from merging_core.methods.varying import Number, over, varying_as_json
from merging_core.recipes.mergekit.document import Document, Model
from merging_core.recipes.mergekit.numbers import complete
from merging_core.recipes.mergekit.places import Places
from merging_core.recipes.plain_yaml import TreePath
from merging_core.recipes.recipe import VERSION

__all__ = ["Asked", "Entry", "Merge", "Value"]


@dataclass(frozen=True)
class Value:
    """A value of our recipe and where it stands in the text."""

    value: object
    path: TreePath


@dataclass(frozen=True)
class Entry:
    """One model of our recipe."""

    ref: str
    path: TreePath
    weight: Value | None = None
    params: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Merge:
    """Our merge in its parts."""

    method: str
    models: tuple[Entry, ...]
    params: Mapping[str, Value] = field(default_factory=dict)
    scale: Value | None = None
    base: bool = True

    def tree(self, base: str | None, dtype: str) -> tuple[dict[str, object], dict[str, TreePath]]:
        """Return the recipe as JSON values, and where each part of it comes from."""
        origins: dict[str, TreePath] = {
            "base": ("base_model",),
            "models": ("models",),
            "method": ("merge_method",),
            "dtype": ("dtype",),
        }
        entries = []
        for place, entry in enumerate(self.models):
            origins[f"models[{place}]"] = origins[f"models[{place}].ref"] = entry.path
            made: dict[str, object] = {"ref": entry.ref}
            if entry.weight is not None:
                made["weight"] = _plain(entry.weight, f"models[{place}].weight", origins)
            if entry.params:
                where = f"models[{place}].params"
                made["params"] = {name: _plain(one, f"{where}.{name}", origins) for name, one in entry.params.items()}
            entries.append(made)
        params = {name: _plain(one, f"method.params.{name}", origins) for name, one in self.params.items()}
        scale = self.scale or Value(1.0, ("merge_method",))
        tree: dict[str, object] = {
            "version": VERSION,
            "base": base if self.base else None,
            "models": entries,
            "method": {"name": self.method, "params": params},
            "lambda": _plain(scale, "lambda", origins),
            "dtype": dtype,
        }
        return tree, origins


def _plain(one: Value, where: str, origins: dict[str, TreePath]) -> object:
    origins[where] = one.path
    return varying_as_json(one.value)


class Asked:
    """Answers with every default filled in; collects problems, and notes on what has no say or means less here."""

    def __init__(self, document: Document, places: Places) -> None:
        self.words = document.words
        self.base = document.base
        self.models = document.models
        self.experts = tuple(model for model in document.models if model.ref != document.base)
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._document = document
        self._places = places

    def refuse(self, must: str, got: str, path: TreePath, fix: str = "") -> None:
        """Add a problem at a place of the text."""
        self.problems.append(Problem(must, got, self._places.at(path), fix))

    def is_given(self, name: str) -> bool:
        """Say whether the recipe sets a parameter anywhere."""
        known = (self._document.settings, self._document.switches, *(model.settings for model in self.models))
        return any(name in settings for settings in known)

    def switch(self, name: str) -> bool:
        """Return a switch of the whole merge."""
        return bool(self._document.switches.get(name, self._default(name)))

    def path(self, name: str, model: Model | None = None) -> TreePath:
        """Return where a parameter stands: with the model, for the whole merge, or nowhere: then the method's line."""
        if model is not None and name in model.settings:
            return (*model.path, "parameters", name)
        if name in self._document.settings or name in self._document.switches:
            return ("parameters", name)
        return ("merge_method",)

    def number(self, name: str, model: Model | None = None) -> Value:
        """Return a number, of one model or of the whole merge, with the default in the leaves that no case takes."""
        default, path = self._default(name), self.path(name, model)
        chain = [settings[name] for settings in self._settings(model) if name in settings]
        found: Number | None = None if default is None else float(default)
        for number in reversed(chain):
            found = number if found is None else over(number, found)
        if found is None:
            what = f"{self.words.name} needs {name}{' of each model' if model is not None else ''}"
            at = model.path if model is not None else ("merge_method",)
            self.refuse(what, "nothing", at, f"write parameters: {{{name}: 0.5}}")
            return Value(1.0, at)
        if not complete(found):
            fix = "end the list with a case without a filter, such as {value: 0.5}"
            self.refuse(f"{name} has a number for every leaf", "filters alone", path, fix)
            return Value(1.0, path)
        return Value(found, path)

    def each(self, name: str, models: Sequence[Model]) -> list[Value]:
        """Return a number of each model."""
        return [self.number(name, model) for model in models]

    def weighted(self, models: Sequence[Model], weights: Sequence[Value]) -> tuple[Entry, ...]:
        """Return our entries of models with these weights."""
        return tuple(
            Entry(model.ref, (*model.path, "model"), weight) for model, weight in zip(models, weights, strict=True)
        )

    def plain(self, models: Sequence[Model]) -> tuple[Entry, ...]:
        """Return our entries of models without weights."""
        return tuple(Entry(model.ref, (*model.path, "model")) for model in models)

    def _default(self, name: str) -> float | bool | None:
        term = self.words.term(name)
        return term.default if term is not None else None

    def _settings(self, model: Model | None) -> list[Mapping[str, Number]]:
        return [*([model.settings] if model is not None else []), self._document.settings]
