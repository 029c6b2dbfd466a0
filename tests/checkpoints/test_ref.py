"""References: a short text and a frozen value that say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merging_core.checkpoints.ref import Ref, parse_ref, ref_of_url
from merging_core.errors import CheckpointError

PIN = "0123456789abcdef"
COMMIT = "0123456789" * 4


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
        Ref("upload", PIN * 2),
        Ref("upload", f"{PIN * 2}/My-digits.v2", PIN * 4),
        Ref("hub", "ada/digits"),
        Ref("hub", "Ada_1/vit-base.v2", "main"),
        Ref("hub", "a/b", "refs/pr/12"),
        Ref("hub", "a/b", COMMIT),
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
        ("upload:digits", "an upload is named by 32 hex digits"),
        (f"upload:{PIN}", "an upload is named by 32 hex digits"),
        (f"upload:{PIN * 4}", "an upload is named by 32 hex digits"),
        (f"upload:{PIN * 2}/../x", "an upload is named by 32 hex digits"),
        (f"upload:{PIN * 2}/<b>", "an upload is named by 32 hex digits"),
        ("hub:", "a path has 1 to 160 characters, but 0"),
        ("hub:" + "a" * 161, "a path has 1 to 160 characters, but 161"),
        ("hub:gpt2", "a model of the Hub is owner/name"),
        ("hub:../x", "a model of the Hub is owner/name"),
        ("hub:a/b/c", "a model of the Hub is owner/name"),
        ("hub:o/r?x", "a model of the Hub is owner/name"),
        ("hub:o/r#x", "a model of the Hub is owner/name"),
        ("hub:<img>/x", "a model of the Hub is owner/name"),
        ("hub:a--b/c", "a model of the Hub is owner/name"),
        ("hub:a/b..c", "a model of the Hub is owner/name"),
        ("hub:a/b.git", "a model of the Hub is owner/name"),
        ("hub:-a/b", "a model of the Hub is owner/name"),
        ("hub:a/b.", "a model of the Hub is owner/name"),
        ("hub:ä/b", "a model of the Hub is owner/name"),
        ("hub:datasets/mnist", "a reference names a model, but a data set"),
        ("hub:spaces/ada", "a reference names a model, but a Space"),
        ("hub:a/b@", "a revision is a branch, a tag or a commit, but nothing"),
        ("hub:a/b@../main", "a revision is a branch, a tag or a commit"),
        ("hub:a/b@x y", "a revision is a branch, a tag or a commit"),
        ("hub:a/b@main@main", "a revision is a branch, a tag or a commit"),
        ("hub:a/b@-x", "a revision is a branch, a tag or a commit"),
        ("hub:a/b@x/", "a revision is a branch, a tag or a commit"),
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


def test_the_label_of_a_model_of_the_hub_has_a_short_commit() -> None:
    assert parse_ref("hub:ada/digits").label == "hub:ada/digits"
    assert parse_ref("hub:ada/digits@v1.0").label == "hub:ada/digits@v1.0"
    assert parse_ref(f"hub:ada/digits@{COMMIT}").label == "hub:ada/digits@0123456"


def test_only_forty_hex_digits_of_the_hub_are_a_commit() -> None:
    assert parse_ref(f"hub:a/b@{COMMIT}").commit == COMMIT
    assert parse_ref("hub:a/b@main").commit is None
    assert parse_ref("hub:a/b").commit is None
    assert parse_ref(f"hub:a/b@{COMMIT[:-1]}").commit is None
    assert parse_ref(f"file:/a@{PIN}").commit is None


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("ada/digits", "hub:ada/digits"),
        (" https://huggingface.co/ada/digits ", "hub:ada/digits"),
        ("https://huggingface.co/ada/digits/", "hub:ada/digits"),
        ("http://www.huggingface.co/ada/digits?library=transformers#files", "hub:ada/digits"),
        ("hf.co/ada/digits", "hub:ada/digits"),
        ("https://huggingface.co/ada/digits/tree/main", "hub:ada/digits@main"),
        ("https://huggingface.co/ada/digits/tree/refs%2Fpr%2F3", "hub:ada/digits@refs/pr/3"),
        ("https://huggingface.co/ada/digits/blob/v1/model.safetensors", "hub:ada/digits@v1"),
        (f"https://huggingface.co/ada/digits/commit/{COMMIT}", f"hub:ada/digits@{COMMIT}"),
        ("hub:ada/digits@v1", "hub:ada/digits@v1"),
        ("zoo:tiny/base", "zoo:tiny/base"),
    ],
)
def test_a_pasted_address_or_id_is_understood(text: str, ref: str) -> None:
    assert str(ref_of_url(text)) == ref


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the address is one of huggingface.co, but nothing"),
        ("digits", "the address is one of huggingface.co"),
        ("https://example.org/ada/digits", "the address is one of huggingface.co"),
        ("https://huggingface.co.example.org/ada/digits", "the address is one of huggingface.co"),
        ("https://huggingface.co/datasets/ada/digits", "that of a model, but a data set"),
        ("https://huggingface.co/spaces/ada/digits", "that of a model, but a Space"),
        ("https://huggingface.co/gpt2", "a model of the Hub is owner/name"),
        ("https://huggingface.co/ada/digits/tree/main/unet", "at the top of its repository, but the folder 'unet'"),
        ("https://huggingface.co/ada/digits/discussions/3", "an address of a model ends with its name"),
        ("javascript:alert(1)//huggingface.co/a/b", "an address of a model ends with its name"),
        ("recipe:abc", "merges of merges are not available yet"),
    ],
)
def test_an_address_of_something_else_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        ref_of_url(text)
    assert said in str(refused.value)


@given(st.from_regex(r"[A-Za-z0-9._/-]{1,40}", fullmatch=True))
def test_every_model_that_a_reference_names_is_one_for_the_client_of_the_hub(path: str) -> None:
    from huggingface_hub.utils import validate_repo_id

    try:
        ref = Ref("hub", path)
    except CheckpointError:
        return
    validate_repo_id(ref.path)
    assert ref.path.count("/") == 1


@given(
    st.one_of(
        st.text(),
        st.builds("zoo:{}".format, st.text()),
        st.builds("file:{}".format, st.text()),
        st.builds("hub:{}".format, st.text()),
    )
)
def test_any_text_is_a_reference_that_survives_or_a_checkpoint_error(text: str) -> None:
    try:
        ref = parse_ref(text)
    except CheckpointError as error:
        str(error).encode()
    else:
        assert parse_ref(str(ref)) == ref
        assert ".." not in ref.path.split("/") or ref.scheme == "file"
