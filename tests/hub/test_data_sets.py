"""Data sets of the Hub: their shards by part and split, what the ends say, and getting them, for each visitor alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from merging_core.errors import EvaluationError, HubAccessError, HubAwayError, HubError
from merging_core.evaluation.sources.footer import TAIL, footer_length, read_footer
from merging_core.evaluation.sources.parquet import open_parquet
from merging_core.hub.data_ref import DataRef, data_ref, data_ref_of_address
from merging_core.hub.data_sets import CONVERTED, DataSets
from tests.evaluation.test_picture_tasks import CLASSES, labels_of, write_shard
from tests.hub.conftest import Visit
from tests.hub.server import ADA, BOB, FakeHub

FLAGS = DataRef("ada/flags")


def shard(tmp_path: Path, n: int, **changes: object) -> bytes:
    path = tmp_path / f"made-{n}.parquet"
    write_shard(path, labels_of(n), **changes)
    return path.read_bytes()


@pytest.fixture
def flags(fake: FakeHub, tmp_path: Path) -> FakeHub:
    """A Hub with a data set in the usual layout."""
    files = {
        "README.md": b"# Flags",
        "data/train-00000-of-00002.parquet": shard(tmp_path, 30),
        "data/train-00001-of-00002.parquet": shard(tmp_path, 12),
        "data/test-00000-of-00001.parquet": shard(tmp_path, 9),
        "data/../secret.parquet": b"",
    }
    fake.add("ada/flags", files, data_set=True)
    return fake


def footer_of(data: bytes) -> bytes:
    length = footer_length(data[-TAIL:])
    return data[-TAIL - length : -TAIL]


def test_shards_are_found_by_part_and_split_at_one_commit(flags: FakeHub, visit: Visit) -> None:
    found = DataSets(visit()).list(FLAGS)
    assert found.ref.commit == flags.data_sets["ada/flags"].branches["main"]
    assert {split: len(files) for split, files in found.of(None).items()} == {"train": 2, "test": 1}
    flags.tells_sizes = False
    again = DataSets(visit()).list(FLAGS)
    assert again == found


def test_the_ends_of_shards_say_columns_rows_and_class_names_without_a_download(flags: FakeHub, visit: Visit) -> None:
    sets = DataSets(visit())
    found = sets.list(FLAGS)
    files = [one for shards in found.of(None).values() for one in shards]
    ends = sets.ends(found.ref, files)
    assert [end.rows for end in ends.values()] == [9, 30, 12]
    first = next(iter(ends.values()))
    assert first.columns == {"image": "struct", "label": "number"}
    assert first.features["label"]["names"] == list(CLASSES)
    assert all(request.range for request in flags.asked("/resolve/"))


def test_a_download_is_checked_and_read_as_any_other_shards(flags: FakeHub, visit: Visit) -> None:
    sets = DataSets(visit())
    found = sets.list(FLAGS)
    files = [one for shards in found.of(None).values() for one in shards]
    heard: list[int] = []
    folder = sets.download(found.ref, files, lambda done, what: heard.append(done))
    pictures = open_parquet(folder)
    assert {split: len(one.labels) for split, one in pictures.splits.items()} == {"train": 42, "test": 9}
    assert pictures.classes == CLASSES and sets.missing_bytes(found.ref, files) == 0
    before = len(flags.asked("/resolve/"))
    assert sets.download(found.ref, files) == folder and len(flags.asked("/resolve/")) == before


def test_damaged_shards_are_never_given_their_name(flags: FakeHub, visit: Visit) -> None:
    sets = DataSets(visit())
    found = sets.list(FLAGS)
    flags.fail("corrupt", "resolve")
    with pytest.raises(HubError, match=r"data set ada/flags.*sha256 begins with"):
        sets.download(found.ref, found.of(None)["test"])
    assert list(sets.folder(found.ref).rglob("*.parquet")) == []


def test_where_a_repository_has_no_parquet_the_hubs_own_conversion_is_taken(
    fake: FakeHub, visit: Visit, tmp_path: Path
) -> None:
    made = fake.add("ada/pictures", {"pictures.zip": b"PK"}, data_set=True)
    with pytest.raises(HubError, match="a data set holds parquet files, but none came"):
        DataSets(visit()).list(DataRef("ada/pictures"))
    rows = shard(tmp_path, 9)
    commit = made.commit(
        {f"{part}/{split}/0000.parquet": rows for part in "ab" for split in ("partial-train", "test")}, CONVERTED
    )
    found = DataSets(visit()).list(DataRef("ada/pictures"))
    assert found.ref.commit == commit and sorted(found.parts) == ["a", "b"]
    assert set(found.of("b")) == {"train", "test"}
    with pytest.raises(HubError, match="there are: a, b"):
        found.of(None)


def test_a_private_and_a_gated_data_set_are_for_whom_the_hub_lets_in(flags: FakeHub, visit: Visit) -> None:
    ada, bob = DataSets(visit(ADA)), DataSets(visit(BOB))
    flags.data_sets["ada/flags"].private = True
    found = ada.list(FLAGS)
    files = found.of(None)["test"]
    ada.download(found.ref, files)
    with pytest.raises(HubAccessError, match="the data set exists on the Hub and may be seen by you"):
        bob.check_access(found.ref)
    flags.data_sets["ada/flags"].private = False
    flags.data_sets["ada/flags"].gated = True
    for call in (lambda: bob.list(FLAGS), lambda: bob.download(found.ref, files)):
        with pytest.raises(HubAccessError, match="gated data set"):
            call()
    assert {request.token for request in flags.asked("/datasets/")} == {ADA, BOB}


@pytest.mark.parametrize("mode", ["404", "401", "gated", "429", "500", "captive", "json", "deep", "cut"])
def test_whatever_the_hub_answers_instead_is_one_sentence(mode: str, flags: FakeHub, visit: Visit) -> None:
    flags.fail(mode, "api", seconds=60)
    with pytest.raises(HubError) as caught:
        DataSets(visit(deadline=3)).list(FLAGS)
    assert len(caught.value.problems) == 1 and "ada/flags" in str(caught.value)
    assert isinstance(caught.value, HubAwayError) == (mode in ("429", "500", "cut"))


def test_addresses_and_references_of_data_sets_are_understood() -> None:
    assert data_ref_of_address("https://huggingface.co/datasets/ada/flags/tree/v2/data") == DataRef("ada/flags", "v2")
    for text in ("", "ada", "https://example.org/datasets/ada/flags", "a/b/c", "../x", "datasets/<img>/x"):
        with pytest.raises(HubError):
            data_ref_of_address(text)
    with pytest.raises(HubError, match="a data set of the Hub is meant"):
        data_ref("zoo:tiny/digits")


def test_a_damaged_footer_is_a_sentence_wherever_it_is_damaged(tmp_path: Path) -> None:
    good = footer_of(shard(tmp_path, 9))
    assert read_footer(good).rows == 9
    for place in range(len(good)):
        changed = good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :]
        for data in (changed, good[:place]):
            try:
                read_footer(data)
            except EvaluationError as error:
                assert "a parquet file that can be read" in str(error) or "huggingface" in str(error)  # noqa: PT017
    with pytest.raises(EvaluationError, match="another kind of file"):
        footer_length(b"\0\0\0\0PK\3\4")
