"""References: a short text and a frozen value that say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.checkpoints.ref import Ref, parse_ref
from merging_core.errors import CheckpointError

PIN = "0123456789abcdef"


@pytest.mark.parametrize(
    "ref",
    [
        Ref("zoo", "tiny/digits"),
        Ref("zoo", "tiny/digits", PIN),
        Ref("zoo", "basins/seed-1_a"),
        Ref("file", "/models/a b"),
        Ref("file", "relative/model.safetensors", PIN * 4),
        Ref("file", "/a@b/c:d@e"),
        Ref("file", "/a@b", PIN),
    ],
)
def test_a_reference_survives_its_text_form(ref: Ref) -> None:
    assert parse_ref(str(ref)) == ref
    assert parse_ref(str(ref.unpinned)).pin is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a reference is written scheme:path"),
        ("tiny/digits", "a reference is written scheme:path"),
        ("zo:tiny/digits", "did you mean “zoo”"),
        ("hub:owner/name@main", "checkpoints from the Hugging Face Hub are not available yet"),
        ("recipe:abc", "merges of merges are not available yet"),
        ("zoo:", "a path has 1 to 128 characters, but 0"),
        ("zoo:" + "a" * 129, "a path has 1 to 128 characters, but 129"),
        ("zoo:../secret", "lower-case names joined"),
        ("zoo:tiny/../base", "lower-case names joined"),
        ("zoo:/etc/passwd", "lower-case names joined"),
        ("zoo:tiny//base", "lower-case names joined"),
        ("zoo:tiny/base/", "lower-case names joined"),
        ("zoo:tiny\\base", "lower-case names joined"),
        ("zoo:tiny/%2e%2e", "lower-case names joined"),
        ("zoo:.hidden", "lower-case names joined"),
        ("zoo:a/b/c/d/e", "lower-case names joined"),
        ("zoo:tiny/base\n", "printable characters only"),
        ("file:/a\0b", "printable characters only"),
        ("file:/a\ud800", "printable characters only"),
        ("file:" + "a" * 4097, "1 to 4096 characters"),
        ("zoo:tiny/base@main", "a pin is 16 or 64 hex digits, but 'main'"),
        ("zoo:tiny/base@", "a pin is 16 or 64 hex digits, but nothing"),
        ("zoo:tiny/base@" + "g" * 16, "a pin is 16 or 64 hex digits"),
        (None, "a reference is text, but NoneType"),
        (7, "a reference is text, but int"),
    ],
)
def test_what_is_not_a_reference_is_refused_in_a_sentence(text: object, said: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        parse_ref(text)
    assert said in str(refused.value)
    str(refused.value).encode()


def test_two_mistakes_are_two_sentences() -> None:
    with pytest.raises(CheckpointError) as refused:
        parse_ref("zoo:Tiny@x")
    assert len(refused.value.problems) == 2


def test_a_file_path_that_ends_like_a_pin_cannot_be_named() -> None:
    with pytest.raises(CheckpointError, match="does not end like a pin"):
        Ref("file", f"/a@{PIN}")


def test_the_label_of_a_file_hides_its_folder() -> None:
    assert parse_ref("file:/home/ada/digits").label == "file:digits"
    assert parse_ref("file:/").label == "file:/"
    assert parse_ref("zoo:tiny/base").label == "zoo:tiny/base"


@given(st.one_of(st.text(), st.builds("zoo:{}".format, st.text()), st.builds("file:{}".format, st.text())))
def test_any_text_is_a_reference_that_survives_or_a_checkpoint_error(text: str) -> None:
    try:
        ref = parse_ref(text)
    except CheckpointError as error:
        str(error).encode()
    else:
        assert parse_ref(str(ref)) == ref
        assert ".." not in ref.path.split("/") or ref.scheme == "file"
