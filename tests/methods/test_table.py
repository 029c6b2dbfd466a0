"""The page about methods."""

from __future__ import annotations

from pathlib import Path

from merging_core.masks.registry import masks
from merging_core.methods.recorded import read
from merging_core.methods.registry import methods
from merging_core.methods.table import markdown
from merging_core.scaling.registry import scalings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "methods.md"


def test_the_page_is_what_the_registry_says() -> None:
    documents = read([DOCS / "data" / f"zoo-{name}.json" for name in ("six", "two", "one")])
    fresh = markdown(methods(), masks(), scalings(), documents)
    assert PAGE.read_text(encoding="utf-8") == fresh, "run `make docs`"


def test_every_entry_has_its_heading_formula_and_source() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for info in (*methods(), *masks(), *scalings()):
        assert f"### {info.title} (`{info.name}`)" in page
        assert f"    {info.formula}" in page
        assert info.source.url in page


def test_every_method_has_a_golden_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    for info in methods():
        assert f'"{info.name}"' in tests or f"import {info.name}" in tests
