"""The house rules that a machine can see."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from merging_core.masks.registry import masks
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Description
from merging_core.methods.registry import methods
from merging_core.scaling.registry import scalings

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 400
FOLDERS = ("merging_core", "app", "tests", "benchmarks", "assets/build")
PYTHON = [ROOT / "app.py", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
BROWSER = sorted(path for ending in ("*.js", "*.css") for path in (ROOT / "app").rglob(ending))
SOURCE = [path for path in PYTHON if ROOT / "tests" not in path.parents] + BROWSER
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK|NotImplemented" r"Error)\b")
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.])/(?:root|Users|work)/\w")
CHECKS = ("raises", "warns", "fail", "expect", "check", "assert")


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(read(path))))


def test_a_file_is_one_room() -> None:
    lengths = {short(path): len(read(path).splitlines()) for path in PYTHON + BROWSER}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_no_room_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [short(path) for path in PYTHON + BROWSER if {path.stem, path.parent.name} & drawers] == []


def test_nothing_is_left_unfinished() -> None:
    assert {short(path): found for path in SOURCE if (found := UNFINISHED.findall(read(path)))} == {}


def test_no_path_of_somebodys_machine_is_written_down() -> None:
    assert {short(path): found for path in PYTHON + BROWSER if (found := SOMEBODYS_FOLDER.findall(read(path)))} == {}


def test_no_error_is_caught_without_a_name() -> None:
    python = [path for path in SOURCE if path.suffix == ".py"]
    bare = [
        (short(path), node.lineno)
        for path in python
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def test_every_test_can_fail() -> None:
    idle = [
        (short(path), node.name)
        for path in PYTHON
        if path.name.startswith("test_")
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not can_fail(node)
    ]
    assert idle == []


def can_fail(test: ast.FunctionDef) -> bool:
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if any(word in name for word in CHECKS):
                return True
    return False


@pytest.mark.parametrize("info", [*methods(), *masks(), *scalings()], ids=lambda info: info.name)
def test_every_entry_of_a_registry_has_a_row_in_the_docs_and_a_source(info: Description) -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert f"| `{info.name}` |" in page
    assert info.source.url.startswith("https://")
    assert 1900 < info.source.year < 2100


@pytest.mark.parametrize("info", methods(), ids=lambda info: info.name)
def test_every_method_has_a_golden_test_and_a_float64_reference(info: MethodInfo) -> None:
    texts = [
        text
        for path in (ROOT / "tests" / "methods").glob("test_*.py")
        if f'"{info.name}"' in (text := path.read_text(encoding="utf-8"))
        or re.search(rf"^from merging_core\.methods\..* import .*\b{info.combine.__name__}\b", text, re.MULTILINE)
    ]
    names = [name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)]
    assert any("golden" in name for name in names)
    assert any("float64" in name for name in names)


def test_the_words_of_the_licence_are_whole() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert len(licence.splitlines()) >= 200
