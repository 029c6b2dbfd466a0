"""The result's file: what it holds, what it is known by, and what is refused of a file from outside."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.library.forms import ResultError
from app.library.result import ResultFile, read_file, write_file
from tests.app.library.results import accuracy, result

GOLDEN = Path(__file__).with_name("golden.basin.json")


def example() -> ResultFile:
    test = {**accuracy((5, 5), "test"), "test_scores": 2}
    return ResultFile(result(), "the good one", ("baseline", "for the talk"), test)


def changed(*path: Any, value: Any) -> bytes:
    """The example's file with one value changed and the check digits made to fit."""
    tree = json.loads(write_file(example()))
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return signed(tree)


def signed(tree: dict[str, Any]) -> bytes:
    plain = {key: value for key, value in tree.items() if key != "digest"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return json.dumps({**plain, "digest": hashlib.sha256(text.encode()).hexdigest()}).encode()


def test_the_golden_file_is_written_as_it_was_and_read_back() -> None:
    assert write_file(example()) == GOLDEN.read_bytes()
    read = read_file(GOLDEN.read_bytes())
    assert (read.name, read.tags) == ("the good one", ("baseline", "for the talk"))
    assert read.test == example().test
    assert read.result == replace(example().result, imported=True)


def test_the_key_is_of_recipe_examples_and_environment_and_of_nothing_else() -> None:
    one = result()
    expected = [one.hash, one.evaluation, sorted(one.environment.items())]
    text = json.dumps(expected, separators=(",", ":"))
    assert one.key == hashlib.sha256(text.encode()).hexdigest()
    assert one.key == replace(one, measured="2027-01-01T00:00:00Z", label="other").key
    others = [
        result(0.4),
        replace(one, evaluation="f" * 64),
        replace(one, environment={**one.environment, "torch": "3"}),
    ]
    assert len({one.key, *(other.key for other in others)}) == 4


def test_a_file_never_takes_the_place_of_what_was_measured_here() -> None:
    here = result(right=(6, 4))
    claims = read_file(write_file(ResultFile(result(right=(8, 8)))))
    assert claims.result.hash == here.hash
    assert claims.result.key != here.key
    assert claims.result.key != read_file(write_file(ResultFile(here))).result.key


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("basin_result",), 2, "form 1"),
        (("basin_result",), True, "form 1"),
        (("hash",), "0" * 64, "hash is that of the recipe"),
        (("hash",), "no", "64 hex digits"),
        (("family",), "", "1 to 12000 characters"),
        (("label",), "x" * 300, "1 to 200 characters"),
        (("environment",), {"basin": "1"}, "environment names basin, device, torch"),
        (("measured",), "yesterday", "measured is a moment"),
        (("recipe", "lambda"), "much", "recipe: lambda"),
        (("recipe", "models"), [], "models"),
        (("pins",), {}, "every reference is pinned"),
        (("pins",), [1], "pins name each reference"),
        (("accuracy",), None, "accuracy"),
        (("accuracy", "tasks", 0, "accuracy"), 1.5, "less than or equal to 1"),
        (("accuracy", "tasks", 0, "accuracy"), 0.0, "lies in its interval"),
        (("accuracy", "tasks", 0, "n"), 0, "greater than or equal to 1"),
        (("accuracy", "tasks", 0, "n"), "8", "valid integer"),
        (("accuracy", "tasks", 0, "more"), 1, "known by name"),
        (("accuracy", "tasks", 0, "title"), ..., "nothing came"),
        (("accuracy", "n"), 17, "sum over the tasks"),
        (("accuracy", "average", "accuracy"), 0.6, "mean of the tasks"),
        (("accuracy", "split"), "test", "validation split"),
        (("accuracy", "partial"), True, "partial"),
        (("path",), {"kind": "between"}, "path"),
        (("layers",), {"depths": []}, "layers"),
        (("correct",), "!!", "one bit for each example"),
        (("correct",), "eyJ0aW55L2RpZ2l0cyI6IDk5OTk5OTk5OTk5OTl9Cg==", "one bit for each example"),
        (("test",), {"n": 1}, "test_scores"),
        (("test", "split"), "validation", "test split"),
        (("test", "test_scores"), 0, "whole number from 1"),
        (("name",), 5, "name is text"),
        (("tags",), "one", "tags are a list"),
        (("tags",), ["x"] * 101, "tags are a list"),
        (("stranger",), 1, "known by name"),
        (("accuracy",), ..., "key accuracy"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(path: tuple[Any, ...], value: Any, sentence: str) -> None:
    with pytest.raises(ResultError) as caught:
        read_file(changed(*path, value=value))
    assert sentence in str(caught.value), str(caught.value)
    assert all(len(str(problem)) < 400 for problem in caught.value.problems)


def test_several_mistakes_are_said_at_once() -> None:
    tree = json.loads(write_file(example()))
    tree.update(family="", measured="never", tags=3)
    with pytest.raises(ResultError) as caught:
        read_file(signed(tree))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"basin_result": 1}',
        b'{"basin_result": 1, "basin_result": 1}',
        b"[" * 100_000,
        b'{"basin_result": NaN}',
        b'{"basin_result": "\\ud800"}',
        b"9" * 5000,
    ],
)
def test_what_is_no_file_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(ResultError):
        read_file(data)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_refused(data: st.DataObject) -> None:
    whole = write_file(example())
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(32, 126))]) + whole[at + 1 :]
    if json_or_none(damaged) == json.loads(whole):
        return
    with pytest.raises(ResultError):
        read_file(damaged)


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_a_cut_file_is_refused(cut: int) -> None:
    whole = write_file(example())
    with pytest.raises(ResultError):
        read_file(whole[: len(whole) * cut // 101])


def json_or_none(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
