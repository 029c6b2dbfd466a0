"""YAML without its traps: a tree of plain values, nothing that refers, constructs or guesses.

Numbers, booleans and null are those of YAML 1.2: `1e3` is a number, `no` and `1:30` are text, `010` is ten. Refused
are aliases and anchors (they explode when written out), tags (they construct), keys that stand twice (the last would
win), merge keys and deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import TypeVar

import yaml

from merging_core.errors import Problem, RecipeError
from merging_core.methods.info import shown

__all__ = ["TreePath", "load_lines", "load_plain_yaml"]

TreePath = tuple[str | int, ...]
"""Where a value stands in a tree: keys of mappings and places in lists, outermost first."""
_Answer = TypeVar("_Answer")

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_RESOLVERS = (
    ("tag:yaml.org,2002:null", _NULL),
    ("tag:yaml.org,2002:bool", _BOOL),
    ("tag:yaml.org,2002:int", _INT),
    ("tag:yaml.org,2002:float", _FLOAT),
)


def load_plain_yaml(text: str, deepest: int) -> object:
    """Return the value of a YAML document with at most `deepest` levels.

    Raises RecipeError for anything else than one document of plain values.

    >>> load_plain_yaml("{a: no, b: 1e3, c: 1:30, d: [1, true, null]}", 16)
    {'a': 'no', 'b': 1000.0, 'c': '1:30', 'd': [1, True, None]}
    """
    return _loaded(text, deepest, lambda loader: loader.get_single_data())


def load_lines(text: str, deepest: int) -> tuple[object, dict[TreePath, int]]:
    """Return the value of a YAML document, and the line on which each value in it stands, with its key if it has one.

    Lines count from 1; the whole document is `()`. Raises RecipeError as `load_plain_yaml` does.

    >>> load_lines("a: 1\\nb:\\n- {c: 2}", 16)[1]
    {(): 1, ('a',): 1, ('b',): 2, ('b', 0): 3, ('b', 0, 'c'): 3}
    """

    def read(loader: _PlainLoader) -> tuple[object, dict[TreePath, int]]:
        node = loader.get_single_node()
        lines: dict[TreePath, int] = {(): 1}
        if node is None:
            return None, lines
        tree: object = loader.construct_document(node)
        _mark(node, (), lines)
        return tree, lines

    return _loaded(text, deepest, read)


def _mark(node: yaml.Node, path: TreePath, lines: dict[TreePath, int]) -> None:
    children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(place, item, item) for place, item in enumerate(node.value)]
    for name, marked, value in children:
        lines[(*path, name)] = marked.start_mark.line + 1
        _mark(value, (*path, name), lines)


def _loaded(text: str, deepest: int, read: Callable[[_PlainLoader], _Answer]) -> _Answer:
    try:
        loader = _PlainLoader(text, deepest)
        try:
            return read(loader)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}" if mark is not None else "recipe"
        reason = shown((error.problem or error.context or "something else").removeprefix("but "), quoted=False)
        raise RecipeError(Problem("the text is plain YAML", reason, place, "check indentation and quotes")) from error
    except yaml.YAMLError as error:
        fix = "remove characters that cannot be printed"
        raise RecipeError(Problem("the text is plain YAML", type(error).__name__, "recipe", fix)) from error
    except ValueError as error:
        # Python refuses to read a whole number of more than 4 300 digits.
        got = "a number with thousands of digits"
        raise RecipeError(Problem("numbers are short enough to read", got, "recipe", "shorten it")) from error


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, narrowed."""

    def __init__(self, text: str, deepest: int) -> None:
        super().__init__(text)
        self._deepest = deepest
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _refused("recipes use no anchors or aliases", "one", event.start_mark, "write the value out")
        if getattr(event, "tag", None) is not None:
            raise _refused("recipes use no tags", event.tag, event.start_mark, "write the plain value")
        if self._level >= self._deepest:
            raise _refused(f"values nest at most {self._deepest} deep", "more", event.start_mark, "write it flatter")
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: str, implicit: tuple[bool, bool]) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            for tag, pattern in _RESOLVERS:
                if pattern.match(value):
                    return tag
            return "tag:yaml.org,2002:str"
        return str(super().resolve(kind, value, (False, True)))  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        mapping: dict[Hashable, object] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _refused("keys are text", shown(key), key_node.start_mark, "quote it")
            if key in mapping:
                raise _refused("a key stands once", shown(key), key_node.start_mark, "remove one")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


def _refused(must: str, got: str, mark: yaml.Mark, fix: str) -> RecipeError:
    return RecipeError(Problem(must, shown(got, quoted=False), f"line {mark.line + 1}", fix))
