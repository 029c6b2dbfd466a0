"""JSON that strangers wrote is read within bounds, or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.checkpoints.config import CONFIG_BYTES, MAX_DEPTH, json_depth, parse_json_object, read_json_object
from merging_core.errors import CheckpointError


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the text is JSON"),
        (b"[1]", "one JSON object, but a list"),
        (b'{"a":1,"a":2}', "“a” twice"),
        (b'{"a":{"b":1,"b":2}}', "“b” twice"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"a":' + b"[" * 100_000, "nested at most 32 deep"),
        (b'{"a":' + b"9" * 5000 + b"}", "at most 40 digits"),
        (b'{"a":1', "the text is JSON"),
        (b'{"a":["\\ud800"]}', "half a surrogate pair"),
        (b'{"\\uDFFF":1}', "half a surrogate pair"),
    ],
)
def test_what_is_not_a_small_object_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        parse_json_object(data, "config.json")
    assert said in str(refused.value)
    assert str(refused.value).startswith("config.json: ")


def test_a_large_file_is_refused_without_being_parsed(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"a":"' + b"x" * CONFIG_BYTES + b'"}')
    with pytest.raises(CheckpointError, match=f"at most {CONFIG_BYTES} bytes"):
        read_json_object(path)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_json_object(b'{"a":"\\ud83d\\ude00"}', "config.json") == {"a": "\U0001f600"}


def test_brackets_inside_text_have_no_depth() -> None:
    assert json_depth('{"[[[": "\\"[[["}', MAX_DEPTH) == 1
    assert json_depth('"' + '\\"[' * 1000, MAX_DEPTH) == 0


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_an_object_is_read_as_json_reads_it(value: dict[str, object]) -> None:
    assert parse_json_object(json.dumps(value).encode(), "config.json") == value


@given(st.binary(max_size=60) | st.text('{}[]":,\\a1', max_size=60).map(str.encode))
def test_bytes_of_any_kind_raise_nothing_but_a_checkpoint_error(data: bytes) -> None:
    try:
        assert isinstance(parse_json_object(data, "x"), dict)
    except CheckpointError as error:
        str(error).encode()
