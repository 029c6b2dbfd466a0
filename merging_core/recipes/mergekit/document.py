"""A mergekit recipe as it was written: read strictly, every problem at once, each with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from merging_core.errors import BasinError, Problem, RecipeError, closest
from merging_core.methods.info import ParameterInfo, shown
from merging_core.methods.varying import Number
from merging_core.recipes.mergekit.places import Places, line_of, way
from merging_core.recipes.mergekit.references import parts, reference
from merging_core.recipes.mergekit.vocabulary import KEYS, LATER, METHODS, TOKENS, Term, Words, words
from merging_core.recipes.plain_yaml import TreePath

__all__ = ["Document", "Model", "read_document"]

_DTYPES = ("float32", "bfloat16", "float16")
_MODEL_KEYS = ("model", "parameters")
Settings = Mapping[str, Number]


@dataclass(frozen=True)
class Model:
    """One model of the list: our reference for it, its own numbers, and where it stands."""

    ref: str
    settings: Settings
    path: TreePath
    on: str | None = None
    """What an adapter is added to; nothing for whole models."""


@dataclass(frozen=True)
class Document:
    """What a recipe says, with references in our form; nothing is filled in."""

    words: Words
    models: tuple[Model, ...]
    base: str | None
    settings: Settings = field(default_factory=dict)
    switches: Mapping[str, bool] = field(default_factory=dict)
    dtype: str | None = None
    """What the merged weights are stored in, where the recipe says it."""
    tokens: TreePath | None = None
    """Where it says that the merge has the tokens of its base, if it does."""


def read_document(tree: object, places: Places, folder: Path | None) -> Document:
    """Check the plain values of a recipe and return what it says; `folder` is where relative paths begin.

    Raises RecipeError with all problems.
    """
    reader = _Reader(places, folder)
    if not isinstance(tree, Mapping):
        raise RecipeError(Problem("a mergekit recipe is a mapping", shown(tree), places.at(()), "see docs/mergekit.md"))
    reader.keys(tree)
    method = reader.method(tree)
    models = reader.models(tree, method)
    base = reader.ref(tree["base_model"], ("base_model",)) if tree.get("base_model") is not None else None
    settings, switches = reader.parameters(tree.get("parameters"), ("parameters",), method, model=False)
    dtypes = [reader.dtype(tree, key) for key in ("dtype", "out_dtype")]
    tokens = reader.tokens(tree)
    if reader.problems or method is None:
        raise RecipeError(*sorted(reader.problems, key=line_of))
    return Document(method, tuple(models), base, settings, switches, dtypes[1] or dtypes[0], tokens)


class _Reader:
    """Collects problems while it reads."""

    def __init__(self, places: Places, folder: Path | None) -> None:
        self.problems: list[Problem] = []
        self._places = places
        self._folder = folder

    def _wrong(self, must: str, got: str, path: TreePath, fix: str) -> None:
        self.problems.append(Problem(must, got, self._places.at(path), fix))

    def keys(self, tree: Mapping[str, object]) -> None:
        for name in tree:
            if name in LATER:
                self._wrong("only what is supported stands in a recipe", name, (name,), LATER[name])
            elif name not in (*KEYS, *TOKENS):
                near = closest(name[:80], (*KEYS, *LATER, *TOKENS))
                self._wrong("keys are known by name", shown(name, quoted=False), (name,), near)

    def method(self, tree: Mapping[str, object]) -> Words | None:
        name = tree.get("merge_method")
        found = words(name) if isinstance(name, str) else None
        if found is None:
            got = shown(name) if "merge_method" in tree else "nothing"
            near = closest(name[:80] if isinstance(name, str) else "", [method.name for method in METHODS])
            path: TreePath = ("merge_method",) if "merge_method" in tree else ()
            self._wrong("merge_method is one of mergekit’s", got, path, near)
        return found

    def models(self, tree: Mapping[str, object], method: Words | None) -> list[Model]:
        given = tree.get("models")
        if not isinstance(given, list) or not given:
            if not ("slices" in tree or "modules" in tree):
                got = shown(given) if "models" in tree else "nothing"
                path: TreePath = ("models",) if "models" in tree else ()
                self._wrong("models is a list of models", got, path, "write models: [{model: owner/name}]")
            return []
        return [model for place, entry in enumerate(given) if (model := self._model(entry, place, method)) is not None]

    def _model(self, entry: object, place: int, method: Words | None) -> Model | None:
        path: TreePath = ("models", place)
        if not isinstance(entry, Mapping) or "model" not in entry:
            self._wrong("an entry of the list has a model", shown(entry), path, "write {model: owner/name}")
            return None
        for name in entry:
            if name not in _MODEL_KEYS:
                near = closest(name[:80], _MODEL_KEYS)
                self._wrong("a model has model and parameters", shown(name, quoted=False), (*path, name), near)
        whole, adapter = parts(entry["model"])
        ref = self.ref(whole, (*path, "model"))
        on = None
        if adapter is not None:
            on, ref = ref, self.ref(adapter, (*path, "model"))
        settings, _ = self.parameters(entry.get("parameters"), (*path, "parameters"), method, model=True)
        return None if ref is None else Model(ref, settings, path, on)

    def ref(self, given: object, path: TreePath) -> str | None:
        try:
            return reference(given, self._folder)
        except BasinError as error:
            self.problems += [replace(problem, where=self._places.at(path)) for problem in error.problems]
            return None

    def parameters(
        self, given: object, path: TreePath, method: Words | None, *, model: bool
    ) -> tuple[dict[str, Number], dict[str, bool]]:
        numbers, switches = dict[str, Number](), dict[str, bool]()
        if given is None:
            return numbers, switches
        if not isinstance(given, Mapping):
            self._wrong("parameters is a mapping", shown(given), path, "write parameters: {weight: 0.5}")
            return numbers, switches
        for name, value in given.items():
            term = self._term(name, (*path, name), method, model)
            if term is None:
                continue
            if term.kind == "switch":
                self._into(switches, name, self._switch(value, (*path, name)))
            else:
                self._into(numbers, name, self._number(term, value, (*path, name)))
        return numbers, switches

    @staticmethod
    def _into(settings: dict, name: str, value: object) -> None:  # type: ignore[type-arg]
        if value is not None:
            settings[name] = value

    def _term(self, name: str, path: TreePath, method: Words | None, model: bool) -> Term | None:
        if method is None:
            return None
        term = method.term(name)
        known = [term.name for term in method.terms if term.each or not model]
        if term is None:
            got = shown(name, quoted=False)
            none = f"leave it out: {method.name} has none{' of a single model' if model else ''}"
            fix = closest(name[:80], known) if known else none
            self._wrong(f"parameters of {method.name} are known by name", got, path, fix)
        elif model and not term.each:
            self._wrong("only what each model has of its own stands here", name, path, "move it to parameters")
            return None
        return term

    def _switch(self, given: object, path: TreePath) -> bool | None:
        if isinstance(given, bool) or (isinstance(given, int | float) and given in (0, 1)):
            return bool(given)
        self._wrong(f"{path[-1]} is true or false for the whole model", shown(given), path, "write true or false")
        return None

    def _number(self, term: Term, given: object, path: TreePath) -> Number | None:
        info = ParameterInfo(term.name, term.name, "number", 0.0, "", per_leaf=True)
        wrong = info.problems(given, way(path))
        origin = replace(self._places, origins={way(path): path})
        self.problems += [origin.told(problem) for problem in wrong]
        return None if wrong else cast(Number, info.coerced(given))

    def tokens(self, tree: Mapping[str, object]) -> TreePath | None:
        """Read whose tokens the merge has: the base's is what can be said here."""
        said = [name for name in TOKENS if tree.get(name) is not None]
        if len(said) > 1:
            self._wrong("one key says whose tokens the merge has", "both", (said[1],), f"leave {said[1]} out")
        for name in said:
            given = tree[name]
            path: TreePath = (name,)
            if isinstance(given, Mapping):
                more = [str(key) for key in given if key != "source"]
                if more:
                    got = shown(more[0], quoted=False)
                    self._wrong(
                        "a tokenizer has a source alone", got, (name, more[0]), "leave it out: it is not supported"
                    )
                given, path = given.get("source", "union"), (name, "source") if "source" in given else (name,)
            if given != "base":
                fix = "write base: tokens that only other models have are not added"
                self._wrong(f"{name} is base", shown(given), path, fix)
        return (said[0],) if said else None

    def dtype(self, tree: Mapping[str, object], key: str) -> str | None:
        given = tree.get(key)
        if given is None:
            return None
        if isinstance(given, str) and given in _DTYPES:
            return given
        near = closest(given[:80], _DTYPES) if isinstance(given, str) else f"write {_DTYPES[1]}"
        self._wrong(f"{key} is one of {', '.join(_DTYPES)}", shown(given), (key,), near)
        return None
