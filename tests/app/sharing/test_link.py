"""A link is for ever, and comes from anybody."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.sharing.link import DEEPEST, LARGEST_TEXT, LONGEST_LINK, decode, encode
from app.state import parse_state
from merging_core.errors import LinkError
from tests.app.pretend import family, pair

STATE: dict[str, Any] = {
    "version": 1,
    "family": "tiny",
    "recipe": {
        "version": 1,
        "base": "zoo:tiny/base",
        "models": [{"ref": "zoo:tiny/digits", "weight": 1.0}, {"ref": "zoo:tiny/letters", "weight": -0.5}],
        "method": {"name": "ties", "params": {"density": 0.2, "scope": "model"}},
        "lambda": 1.0,
    },
    "path": {"kind": "lambda"},
    "metric": "loss",
}


def packed(text: bytes) -> str:
    data = zlib.compress(hashlib.sha256(text).digest()[:4] + text)
    return "1." + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_state_comes_back_as_it_was() -> None:
    assert decode(encode(STATE)) == STATE


def test_text_beyond_ascii_comes_back() -> None:
    assert decode(encode({"note": "λ(ℓ) ≤ 1 – naïve 🙂"})) == {"note": "λ(ℓ) ≤ 1 – naïve 🙂"}


def test_the_same_state_gives_the_same_link_whatever_the_order_of_its_keys() -> None:
    assert encode({"a": 1, "b": {"c": 2, "d": 3}}) == encode({"b": {"d": 3, "c": 2}, "a": 1})


def test_a_state_too_large_for_an_address_is_refused_when_it_is_shared() -> None:
    noise = [hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(400)]
    with pytest.raises(LinkError, match="at most 6000 characters"):
        encode({"noise": noise})


@pytest.mark.parametrize("place", range(0, 120, 7))
def test_one_changed_character_is_noticed(place: int) -> None:
    link = encode(STATE)
    other = "A" if link[place + 2] != "A" else "B"
    with pytest.raises(LinkError):
        decode(link[: place + 2] + other + link[place + 3 :])


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 20, 100])
def test_a_cut_link_is_noticed(cut: int) -> None:
    with pytest.raises(LinkError):
        decode(encode(STATE)[:-cut])


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("", "a link begins with its version and a dot"),
        ("1", "a link begins with its version and a dot"),
        ("one.AAAA", "a link begins with its version and a dot"),
        ("²." + "A" * 8, "a link begins with its version and a dot"),
        ("1.", "a link holds letters, digits, - and _"),
        ("1.AA+A", "a link holds letters, digits, - and _"),
        ("1.AA A", "a link holds letters, digits, - and _"),
        ("1.AAAA==", "a link holds letters, digits, - and _"),
        ("2.AAAA", "this Basin reads links of version 1, but 2 came"),
        ("1.AAAA", "a link is whole"),
        ("1.A", "a link is whole"),
        ("1." + "A" * LONGEST_LINK, "a link has at most 6000 characters"),
        (packed(b"[1]"), "a link holds one object, but list came"),
        (packed(b"{"), "a link holds JSON text"),
        (packed(b'{"a": NaN}'), "a link holds JSON text"),
        (packed(b'{"a": 1e999}'), "a link holds JSON text"),
        (packed(b'{"a": ' + b"9" * 5000 + b"}"), "a link holds JSON text"),
        (packed(b'{"a": "\xff"}'), "a link holds JSON text"),
        (packed(b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}"), "a link"),
        (packed(json.dumps({"a": [[[[[[[[[[[[1]]]]]]]]]]]]}).encode()), f"a link nests at most {DEEPEST} levels"),
        (packed(b" " * (LARGEST_TEXT + 1)), f"a link holds at most {LARGEST_TEXT} bytes"),
    ],
)
def test_each_damage_has_its_sentence(link: str, sentence: str) -> None:
    with pytest.raises(LinkError, match="link: ") as caught:
        decode(link)
    assert sentence in str(caught.value)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b"0" * 3_000_000, 9)).rstrip(b"=").decode()
    assert len(bomb) < LONGEST_LINK
    with pytest.raises(LinkError, match="at most"):
        decode("1." + bomb)


def test_a_stream_without_its_last_byte_or_with_more_after_it_is_refused() -> None:
    text = json.dumps(STATE).encode()
    data = zlib.compress(hashlib.sha256(text).digest()[:4] + text)
    for changed in (data[:-1], data + b"x", data + data):
        with pytest.raises(LinkError):
            decode("1." + base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.dictionaries(st.text(max_size=8).filter(lambda s: s.isprintable()), json_values, max_size=5))
def test_any_object_comes_back_or_is_refused_as_unwritable(state: dict[str, Any]) -> None:
    try:
        link = encode(state)
    except (LinkError, UnicodeEncodeError):
        return
    assert decode(link) == state


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: "1." + base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        assert isinstance(decode(text), dict)
    except LinkError as error:
        assert str(error).startswith("link: ")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_any_text_inside_a_whole_link_is_read_or_refused(text: bytes) -> None:
    try:
        assert isinstance(decode(packed(text)), dict)
    except LinkError as error:
        assert "link" in str(error)


GOLDEN = json.loads((Path(__file__).parent / "golden_links.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", GOLDEN, ids=[f"{row['release']} {place}" for place, row in enumerate(GOLDEN)])
def test_golden_links_of_each_release_open(row: dict[str, Any]) -> None:
    document = decode(row["link"])
    assert document == row["state"]
    state = parse_state(document, (family(), pair())).as_json()
    recipe = {key: state["recipe"][key] for key in row["state"]["recipe"]}
    told = row["state"]["recipe"]["method"]
    recipe["method"] = {**recipe["method"], "params": {key: recipe["method"]["params"][key] for key in told["params"]}}
    assert {**state, "recipe": recipe} == row["state"]
