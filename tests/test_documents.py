"""What the pages say is true: generated ones are fresh, console examples are run, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from merging_core.cli.manual import markdown
from merging_core.cli.study_names import STUDY_NAMES
from tests.examples import PAGES, ROOT, Example, examples

ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "assets" / "README.md"]


def test_the_readme_and_the_page_about_recipes_have_examples() -> None:
    assert {example.page for example in examples()} >= {"README.md", "recipe.md"}


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.command)
def test_an_example_says_what_the_page_shows(example: Example, tmp_path: Path) -> None:
    said = example.run(tmp_path)
    assert example.agrees(said), f"{example.page} shows something else (`make docs` writes it again):\n{said}"


def test_another_word_or_another_number_is_not_the_same_example() -> None:
    example = Example("README.md", "", "digits  80.5  n 400\n")
    assert example.agrees("digits 80.9 n 400\n")
    assert not example.agrees("digits 85.5 n 400\n")
    assert not example.agrees("letters 80.5 n 400\n")
    assert not example.agrees("digits 80.5 n 401\n")
    assert not example.agrees("digits 80.5 n 400\nand more\n")


def test_the_page_of_the_command_line_is_fresh() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == markdown(), "run `make docs`"


def test_every_study_has_its_section() -> None:
    page = (ROOT / "docs" / "geometry.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^## .*\(`([a-z]+)`\)$", page, re.MULTILINE))
    assert named == set(STUDY_NAMES)
    assert [name for name, words in STUDY_NAMES.items() if f"| `{name}` | {words} |" not in page] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_pages_name_commands_that_the_makefile_has() -> None:
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    said = [
        command
        for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
        for command in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert said
    assert set(said) <= rules
