"""The public names are those that are said to be, and each is explicit."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "merging_core").rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in (ROOT / "merging_core").rglob("__init__.py")
    if "__all__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", [*PACKAGES, *MODULES])
def test_everything_in_all_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    exported: list[str] = list(getattr(module, "__all__", []))
    assert len(set(exported)) == len(exported)
    assert [missing for missing in exported if not hasattr(module, missing)] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_exactly_what_it_imports_under_the_same_name(name: str) -> None:
    path = ROOT.joinpath(*name.split("."), "__init__.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    first_use = [node.body for node in tree.body if isinstance(node, ast.If)]
    statements = [*tree.body, *(statement for body in first_use for statement in body)]
    imports = [node for node in statements if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    aliases = [alias for node in imports for alias in node.names]
    reexported = {alias.name for alias in aliases if alias.asname == alias.name}
    assert [alias.name for alias in aliases if alias.asname != alias.name] == [], "write `from x import y as y`"
    public = {public for public in importlib.import_module(name).__all__ if public != "__version__"}
    assert reexported == public


def test_help_and_mistakes_do_not_wait_for_torch() -> None:
    asked = "line.main(['merg']), line.main(['--help']), 'torch' in sys.modules"
    code = f"import sys, merging_core.cli.main as line; print({asked})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-3:] == ["2", "0", "False"]


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    import merging_core

    with pytest.raises(AttributeError, match="no attribute 'utilities'"):
        merging_core.__getattr__("utilities")


def test_the_library_says_that_it_is_typed() -> None:
    assert (ROOT / "merging_core" / "py.typed").is_file()
