"""mergekit's ways to name a model, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from merging_core.checkpoints.ref import SCHEMES, parse_ref
from merging_core.errors import Problem, RecipeError, closest
from merging_core.methods.info import shown

__all__ = ["parts", "reference", "written"]

_KEYS = ("path", "revision")
_LATER = {
    "override_architecture": "the architecture is the one that the model states; leave it out",
}
_OURS = tuple(f"{scheme}:" for scheme in (*SCHEMES, "recipe"))
_FOLDER = re.compile(r"[./~\\]|[A-Za-z]:[\\/]|[^/]+$|[^/]+/[^/]+/")
"""How a path begins that cannot be `owner/name`."""


def parts(given: object) -> tuple[object, object | None]:
    """Return a model and the adapter on it, if there is one: mergekit writes `model+adapter`, or a mapping with `lora`.

    >>> parts("ada/base+ada/lora"), parts("ada/base"), parts({"model": "ada/base", "lora": {"path": "ada/lora"}})
    (('ada/base', 'ada/lora'), ('ada/base', None), ({'model': 'ada/base'}, {'model': {'path': 'ada/lora'}}))
    """
    if isinstance(given, Mapping) and "lora" in given:
        return {key: value for key, value in given.items() if key != "lora"}, {"model": given["lora"]}
    if isinstance(given, str) and given.count("+") == 1 and not given.startswith(_OURS):
        model, _, adapter = given.partition("+")
        return model, adapter
    return given, None


def reference(given: object, folder: Path | None) -> str:
    """Return our reference for a model as mergekit names it: `path[@revision]`, or a mapping that says the same.

    What is a folder, seen from `folder`, or cannot be a model of the Hub, is `file:`; without `folder` that is refused.
    References in our own form stay as they are.

    Raises RecipeError or CheckpointError with what is wrong.

    >>> reference("ada/digits@main", None), reference({"model": {"path": "ada/digits"}}, None)
    ('hub:ada/digits@main', 'hub:ada/digits')
    """
    if isinstance(given, Mapping):
        given = _short(given)
    if not isinstance(given, str) or not given.strip():
        raise _refused("a model is named by its path", shown(given), "write owner/name, or the path of a folder")
    text = given.strip()
    if text.startswith(_OURS):
        return str(parse_ref(text))
    if "+" in text:
        raise _refused("one adapter stands beside a listed model", shown(text), "write owner/name+owner/adapter")
    path, at, revision = text.partition("@")
    if "@" in revision or not path or (at and not revision):
        raise _refused("a model is path or path@revision", shown(text), "write owner/name@main")
    here = folder is not None and (folder / Path(path).expanduser()).is_dir()
    if not here and not _FOLDER.match(path):
        return str(parse_ref(f"hub:{text}"))
    if folder is None:
        must = "folders are opened by the command line alone"
        raise _refused(must, shown(path), "write owner/name of the Hub, or a reference such as zoo:tiny/digits")
    if not here and "/" not in path and "\\" not in path:
        must = "a model is a folder, or owner/name of the Hub"
        raise _refused(must, shown(path), "name the folder that holds it, or its owner on the Hub")
    if at:
        raise _refused("a folder has no revision", shown(text), "leave out the @ and what follows it")
    return str(parse_ref(f"file:{(folder / Path(path).expanduser()).absolute()}"))


def _short(given: Mapping[str, object]) -> str:
    """Return `path[@revision]` for a mapping; mergekit has `{model: {path, revision}}` and `{model: text}`."""
    for name in given:
        if name in _LATER:
            raise _refused("a model stands without more", str(name), _LATER[str(name)])
        if name != "model":
            raise _refused("a model's mapping has the key model", shown(name), closest(str(name)[:80], ("model",)))
    inner = given.get("model")
    if isinstance(inner, str):
        return inner
    if not isinstance(inner, Mapping) or not isinstance(inner.get("path"), str):
        raise _refused("a model has a path", shown(inner), "write {model: {path: owner/name, revision: main}}")
    for name in inner:
        if name not in _KEYS:
            raise _refused("a model has path and revision", shown(name), closest(str(name)[:80], _KEYS))
    revision = inner.get("revision")
    if revision is not None and not isinstance(revision, str):
        raise _refused("a revision is text", shown(revision), "quote it")
    return f"{inner['path']}@{revision}" if revision is not None else str(inner["path"])


def written(ref: str) -> tuple[str, bool]:
    """Return how mergekit names what our reference names, and whether it can open it under that name.

    Raises RecipeError where mergekit has no way to say it.

    >>> written("hub:ada/digits@main"), written("zoo:tiny/digits@0123456789abcdef")
    (('ada/digits@main', True), ('zoo:tiny/digits', False))
    """
    found = parse_ref(ref)
    if found.part:
        raise RecipeError(Problem("mergekit opens whole models", found.label, "", "merge the whole models"))
    if found.scheme == "hub":
        return f"{found.path}@{found.pin}" if found.pin else found.path, True
    if found.scheme != "file":
        return str(found.unpinned), False
    if "@" in found.path or "+" in found.path:
        must = "mergekit reads “@” and “+” in a path as its own signs"
        raise RecipeError(Problem(must, found.label, "", "rename the folder"))
    return found.path, True


def _refused(must: str, got: str, fix: str) -> RecipeError:
    return RecipeError(Problem(must, got, "", fix))
