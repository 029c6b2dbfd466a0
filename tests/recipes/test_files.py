"""Recipes as files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from merging_core.errors import RecipeError
from merging_core.methods.registry import methods
from merging_core.recipes import load_recipe, parse_recipe, recipe_to_yaml
from merging_core.recipes.files import LARGEST_FILE, read_tree
from tests.recipes.examples import mapping

DEEP = 20_000


@pytest.mark.parametrize("name", [info.name for info in methods()])
@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
def test_a_recipe_written_down_reads_back_the_same(tmp_path: Path, name: str, suffix: str) -> None:
    extra: dict[str, Any] = {"lambda": 1e-5, "layer_scaling": {"kind": "curve", "points": [1e-7, 1e15, 2]}}
    extra["layer_scaling"]["points"] = [1e-7, 0.5, 2]
    recipe = parse_recipe(mapping(name, **extra))
    path = tmp_path / f"recipe{suffix}"
    path.write_text(json.dumps(recipe.as_json()) if suffix == ".json" else recipe_to_yaml(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


def test_golden_yaml_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "merge.yaml"
    path.write_text(
        """\
        # A merge of two experts.
        version: 1
        base: zoo:tiny/base
        models:
          - {ref: zoo:tiny/digits, weight: 1e0}
          - ref: zoo:tiny/letters
            params: {density: .3}
        method: {name: ties}
        lambda: 9e-1
        """.replace("        ", ""),
        encoding="utf-8",
    )
    recipe = load_recipe(path)
    assert recipe.lambda_ == 0.9
    assert recipe.models[1].params["density"] == 0.3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        ("010", 10.0),
        ("12", 12),
        ("-3", -3),
        (".5", 0.5),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("'1'", "1"),
        ("true", True),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_yaml_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    tree = read_tree(f"key: {text}".encode(), "yaml")
    assert tree == {"key": value}
    assert isinstance(tree, dict)
    assert type(tree["key"]) is type(value)


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
REFUSED: list[tuple[str, Literal["json", "yaml"], bytes, str]] = [
    ("construction", "yaml", b"!!python/object/apply:os.system ['true']", "tags"),
    ("plain tag", "yaml", b"a: !!float 1", "tags"),
    ("laughs", "yaml", LAUGHS.encode(), "anchors or aliases"),
    ("recursion", "yaml", b"&a [*a]", "anchors or aliases"),
    ("anchor", "yaml", b"a: &x 1", "anchors or aliases"),
    ("alias", "yaml", b"a: *x", "anchors or aliases"),
    ("merge key", "yaml", b"a: {<<: {b: 1}, b: 2, <<: 3}", "a key stands once"),
    ("key twice", "yaml", b"seed: 1\nseed: 2", "a key stands once"),
    ("key no text", "yaml", b"1: 2", "keys are text"),
    ("key a list", "yaml", b"? [a]\n: 2", "keys are text"),
    ("two documents", "yaml", b"a: 1\n---\nb: 2", "plain YAML"),
    ("bad indentation", "yaml", b"a: 1\n b: 2", "line 2"),
    ("unclosed", "yaml", b"a: [1", "plain YAML"),
    ("tab", "yaml", b"a:\n\t- 1", "plain YAML"),
    ("control character", "yaml", b"a: \x01", "plain YAML"),
    ("deep yaml", "yaml", b"[" * DEEP, "nest at most"),
    ("deep yaml lines", "yaml", b"\n".join(b" " * i + b"a:" for i in range(200)), "nest at most"),
    ("deep json", "json", b"[" * DEEP + b"]" * DEEP, "nest at most"),
    ("less deep json", "json", b"[" * 20 + b"]" * 20, "nest at most"),
    ("json key twice", "json", b'{"seed": 1, "seed": 2}', "a key stands once"),
    ("json broken", "json", b'{"seed": 1,}', "line 1"),
    ("json endless number", "json", b'{"seed": ' + b"1" * 5000 + b"}", "thousands of digits"),
    ("yaml endless number", "yaml", b"seed: " + b"1" * 5000, "thousands of digits"),
    ("not utf-8", "json", b"\xff\xfe{}", "UTF-8"),
    ("too large", "yaml", b"#" * (LARGEST_FILE + 1), "at most 65536 bytes"),
]


@pytest.mark.parametrize(("form", "data", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_plain_tree_is_refused_quickly(form: Literal["json", "yaml"], data: bytes, reason: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(RecipeError, match=reason):
        read_tree(data, form)
    assert time.perf_counter() - begin < 30


@pytest.mark.parametrize("value", ["1e999", "NaN", "Infinity", "-1e999"])
def test_numbers_that_are_not_finite_are_refused_by_the_recipe(tmp_path: Path, value: str) -> None:
    path = tmp_path / "recipe.json"
    text = json.dumps(mapping(**{"lambda": 1234567.0})).replace("1234567.0", value)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"lambda: lambda lies in \[-100, 100\]"):
        load_recipe(path)


@pytest.mark.parametrize("trap", ["normalize: no", "normalize: 'true'", "normalize: 1"])
def test_a_switch_written_otherwise_is_refused_not_guessed(tmp_path: Path, trap: str) -> None:
    path = tmp_path / "recipe.yaml"
    head = "version: 1\nbase: zoo:tiny/base\nmodels: [{ref: zoo:a}]\n"
    path.write_text(f"{head}method: {{name: linear, params: {{{trap}}}}}", encoding="utf-8")
    with pytest.raises(RecipeError, match="normalize is true or false"):
        load_recipe(path)


def test_a_file_that_is_missing_or_a_folder_is_said_plainly(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(RecipeError, match="a recipe is a file that exists"):
            load_recipe(path)


def test_yaml_for_people_is_plain_for_other_readers_too() -> None:
    recipe = parse_recipe(mapping("ties"))
    assert yaml.safe_load(recipe_to_yaml(recipe)) == recipe.as_json()


def test_a_path_that_no_file_can_have_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match="a recipe can be read, but “File name too long” came"):
        load_recipe("x" * 300 + ".json")


def test_a_path_is_shown_without_what_a_terminal_would_obey() -> None:
    with pytest.raises(RecipeError, match="exists, but ") as caught:
        load_recipe("\x1b[2Jno\nfile.json")
    assert str(caught.value).isprintable()


def test_two_documents_are_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match="the text is plain YAML, but found another document came"):
        read_tree(b"a: 1\n---\nb: 2\n", "yaml")
