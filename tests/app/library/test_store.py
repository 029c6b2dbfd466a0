"""The library's file: stored once, held by each, found quickly, and never another's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.library import store as store_module
from app.library.search import Search
from app.library.store import LibraryError, LibraryStore
from tests.app.library.results import accuracy, result

TEST = {**accuracy((5, 5), "test"), "test_scores": 1}


@pytest.fixture(params=["memory", "file", "shared disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LibraryStore]:
    made = LibraryStore(None if request.param == "memory" else tmp_path, shared_disk=request.param == "shared disk")
    yield made
    made.close()


def names(store: LibraryStore, visitor: str, **search: Any) -> list[str]:
    return [row.name for row in store.find(visitor, Search(**search)).rows]


def contents(store: LibraryStore) -> int:
    count: int = store._connection.execute("SELECT COUNT(*) FROM results").fetchone()[0]
    return count


def test_what_is_saved_comes_back_whole(store: LibraryStore) -> None:
    one = result()
    id_, new = store.save("ann", one, name="first", tags=("b", "a"), test=TEST)
    held = store.get("ann", id_)
    assert (id_, new) == (one.key, True)
    assert (held.result, held.name, held.tags, held.test, held.share) == (one, "first", ("a", "b"), TEST, None)


def test_the_same_result_of_two_visitors_is_stored_once_and_each_has_the_own_name_tags_and_test(
    store: LibraryStore,
) -> None:
    id_, _ = store.save("ann", result(), name="hers", tags=("a",), test=TEST)
    again, new = store.save("bob", result(), name="his")
    assert again == id_ and new and contents(store) == 1
    his = store.get("bob", id_)
    assert (his.name, his.tags, his.test) == ("his", (), None)
    assert store.get("ann", id_).tags == ("a",)


def test_saving_again_keeps_the_name_and_adds_the_test_score(store: LibraryStore) -> None:
    id_, _ = store.save("ann", result(), name="mine", tags=("a",))
    assert store.save("ann", result(), name="other", test=TEST) == (id_, False)
    held = store.get("ann", id_)
    assert (held.name, held.tags, held.test) == ("mine", ("a",), TEST)


def test_nobody_reaches_the_results_of_another_visitor(store: LibraryStore) -> None:
    id_, _ = store.save("ann", result(), name="hers", tags=("secret",))
    assert store.find("bob", Search()).matching == 0
    assert store.facets("bob") == {"method": [], "tag": []}
    assert store.plain("bob", [id_]) == []
    for act in (store.get, store.share):
        with pytest.raises(LibraryError, match="another one"):
            act("bob", id_)
    store.rename("bob", id_, "his")
    store.tag("bob", [id_], ["his"], ["secret"], 12)
    store.unshare("bob", id_)
    assert store.remove("bob", [id_]) == 0
    held = store.get("ann", id_)
    assert (held.name, held.tags) == ("hers", ("secret",))


def test_words_method_and_tag_narrow_the_table_and_every_word_must_occur(store: LibraryStore) -> None:
    store.save("ann", result(0.1), name="Alpha 50%")
    store.save("ann", result(0.2), name="alpha_two", tags=("talk",))
    store.save("ann", result(1.0, method="ties"), name="beta")
    assert names(store, "ann", words=("ALPHA",)) == ["alpha_two", "Alpha 50%"]
    assert names(store, "ann", words=("50%",)) == ["Alpha 50%"]
    assert names(store, "ann", words=("a_t",)) == ["alpha_two"]
    assert names(store, "ann", words=("alpha", "talk")) == ["alpha_two"]
    assert names(store, "ann", words=("ties",)) == ["beta"]
    assert names(store, "ann", method="task_arithmetic", tag="talk") == ["alpha_two"]
    assert names(store, "ann", words=("'; DROP TABLE held; --",)) == []
    assert store.facets("ann") == {
        "method": [{"name": "task_arithmetic", "count": 2}, {"name": "ties", "count": 1}],
        "tag": [{"name": "talk", "count": 1}],
    }


def test_rows_are_sorted_by_any_column_and_paged(store: LibraryStore) -> None:
    for number, right in enumerate([(8, 8), (0, 8), (4, 8)]):
        store.save("ann", result(0.1 * (number + 1), right=right), name="cab"[number])
    assert names(store, "ann") == ["b", "a", "c"]
    assert names(store, "ann", sort="name", descending=False) == ["a", "b", "c"]
    assert names(store, "ann", sort="average") == ["c", "b", "a"]
    assert names(store, "ann", sort="average", descending=False, limit=1, offset=1) == ["b"]
    assert store.find("ann", Search(limit=1)).matching == 3


@pytest.mark.parametrize("sort", ["when", "average", "name", "method", "n"])
@pytest.mark.parametrize("more", [{}, {"method": "ties"}, {"tag": "t"}, {"words": ("x", "y")}], ids=str)
def test_a_search_reads_the_rows_of_one_visitor_by_an_index(sort: str, more: dict[str, Any]) -> None:
    store = LibraryStore(None)
    steps = store.plan("ann", Search(sort=sort, **more))
    assert not [step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN (subquery")], steps
    assert steps[0].startswith("SEARCH held USING") and "(visitor=?" in steps[0], steps
    store.close()


def test_the_first_page_in_the_default_order_needs_no_sorting() -> None:
    store = LibraryStore(None)
    steps = store.plan("ann", Search())
    assert "held_by_time" in steps[0] and not [step for step in steps[1:] if step == "USE TEMP B-TREE FOR ORDER BY"]
    store.close()


def test_what_was_deleted_last_can_be_brought_back_and_what_was_deleted_before_is_gone(store: LibraryStore) -> None:
    ids = [store.save("ann", result(0.1 * number), name=str(number), tags=("t",))[0] for number in (1, 2, 3)]
    assert store.remove("ann", [ids[0], ids[0], "0" * 64]) == 1
    assert store.remove("ann", ids[1:]) == 2 and names(store, "ann") == []
    assert contents(store) == 2
    assert store.restore("ann") == 2
    assert names(store, "ann") == ["3", "2"] and store.get("ann", ids[1]).tags == ("t",)


def test_a_deleted_result_stays_while_another_holds_it(store: LibraryStore) -> None:
    both, _ = store.save("ann", result(0.2))
    store.save("bob", result(0.2))
    alone, _ = store.save("ann", result(0.3))
    theirs = store.share("bob", both)
    store.remove("ann", [both, alone])
    store.remove("ann", [])
    assert contents(store) == 1
    assert store.shared(theirs) is not None and store.ended(theirs) == ""


def test_the_link_of_a_deleted_result_says_so_until_it_is_brought_back(store: LibraryStore) -> None:
    id_, _ = store.save("ann", result(0.1))
    address = store.share("ann", id_)
    store.remove("ann", [id_])
    assert store.shared(address) is None and store.ended(address) == "deleted"
    store.restore("ann")
    assert store.shared(address) is not None and store.ended(address) == ""
    store.remove("ann", [id_])
    store.remove("ann", [])
    assert store.shared(address) is None and store.ended(address) == "deleted" and contents(store) == 0


def test_a_deleted_result_that_is_saved_again_is_not_shared_again(store: LibraryStore) -> None:
    id_, _ = store.save("ann", result(0.1))
    address = store.share("ann", id_)
    store.remove("ann", [id_])
    store.save("ann", result(0.1))
    assert store.get("ann", id_).share is None
    assert store.shared(address) is None and store.ended(address) == "deleted"
    assert store.share("ann", id_) != address


def test_an_older_library_closes_the_links_of_results_that_were_deleted(tmp_path: Path) -> None:
    first = LibraryStore(tmp_path)
    kept, gone = (first.save("ann", result(number / 10))[0] for number in (1, 2))
    addresses = [first.share("ann", id_) for id_ in (kept, gone)]
    first.close()
    older = sqlite3.connect(tmp_path / "library.sqlite")
    older.executescript("DROP TABLE ended; PRAGMA user_version = 1;")
    older.execute("DELETE FROM held WHERE result = ?", (gone,))
    older.commit()
    older.close()
    second = LibraryStore(tmp_path)
    assert second.shared(addresses[0]) is not None and second.shared(addresses[1]) is None
    assert second.ended(addresses[1]) == "deleted" and contents(second) == 1
    second.close()


def test_what_was_deleted_is_gone_after_a_restart(tmp_path: Path) -> None:
    first = LibraryStore(tmp_path)
    id_, _ = first.save("ann", result(), tags=("t",))
    first.remove("ann", [id_])
    first.close()
    second = LibraryStore(tmp_path)
    assert second.restore("ann") == 0 and contents(second) == 0
    second.close()


def test_a_share_is_read_by_its_address_alone_and_shows_nothing_of_its_owner(store: LibraryStore) -> None:
    id_, _ = store.save("ann", result(), name="private name", tags=("private tag",), test=TEST)
    address = store.share("ann", id_)
    assert len(address) == 32 and store.share("ann", id_) == address
    found = store.shared(address)
    assert found is not None and (found.result, found.test) == (result(), TEST)
    assert "private" not in repr(found) and "ann" not in repr(found)
    assert store.shared(id_) is None and store.shared("0" * 32) is None
    store.save("bob", result())
    assert store.share("bob", id_) != address
    store.unshare("ann", id_)
    assert store.shared(address) is None and store.get("ann", id_).share is None
    assert store.ended(address) == "withdrawn" and store.ended("0" * 32) == ""


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    first = LibraryStore(tmp_path)
    id_, _ = first.save("ann", result(), name="kept", tags=("t",))
    address = first.share("ann", id_)
    first.close()
    second = LibraryStore(tmp_path)
    assert (second.kind, second.notice) == ("file", "")
    held = second.get("ann", id_)
    assert (held.result, held.name, held.tags, held.share) == (result(), "kept", ("t",), address)
    second.close()


def test_a_full_library_says_so_and_keeps_what_it_has(store: LibraryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MOST", 2)
    for number in (1, 2):
        store.save("ann", result(0.1 * number))
    with pytest.raises(LibraryError, match="at most 2 results, but one more came; export and delete some first"):
        store.save("ann", result(0.3))
    assert store.save("ann", result(0.2))[1] is False
    assert store.save("bob", result(0.3))[1] is True
    assert store.find("ann", Search()).matching == 2


def test_a_result_has_so_many_tags_and_no_more(store: LibraryStore) -> None:
    id_, _ = store.save("ann", result(), tags=("a",))
    with pytest.raises(LibraryError, match="at most 2 tags"):
        store.tag("ann", [id_], ["b", "c"], [], 2)
    assert store.get("ann", id_).tags == ("a",)
    store.tag("ann", [id_], ["b"], ["a"], 2)
    assert store.get("ann", id_).tags == ("b",)


def test_a_damaged_file_is_kept_aside_and_a_newer_one_left_alone(tmp_path: Path) -> None:
    (tmp_path / "library.sqlite").write_bytes(b"no database" * 200)
    store = LibraryStore(tmp_path)
    assert "damaged" in store.notice and store.kind == "file"
    store.close()
    newer = sqlite3.connect(tmp_path / "library.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.commit()
    newer.close()
    again = LibraryStore(tmp_path)
    assert again.kind == "memory" and "newer Basin" in again.notice
    again.close()
