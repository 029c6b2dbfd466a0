"""Finding models: pages, filters, experts of a base, and entries that strangers wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from merging_core.errors import HubError
from tests.hub.conftest import Visit, files
from tests.hub.server import ADA, BOB, FakeHub


def ids(found: object) -> list[str]:
    return [entry.id for entry in found.entries]  # type: ignore[attr-defined]


def test_words_task_and_library_narrow_a_search(fake: FakeHub, visit: Visit) -> None:
    about = {"pipeline_tag": "image-classification", "library_name": "transformers"}
    fake.add("bob/clip-digits", files(), **about, downloads=5)
    assert ids(visit().search("digits")) == ["ada/digits", "bob/clip-digits"]
    assert ids(visit().search("digits", task="image-classification")) == ["bob/clip-digits"]
    assert ids(visit().search(library="transformers")) == ["bob/clip-digits"]
    assert ids(visit().search("no such model")) == []


def test_pages_hold_everything_once_and_in_order(fake: FakeHub, visit: Visit) -> None:
    for index in range(9):
        fake.add(f"bob/model-{index}", files(), downloads=index)
    pages = [visit().search("bob/", limit=4, page=page) for page in range(4)]
    assert [ids(page) for page in pages] == [
        [f"bob/model-{index}" for index in (8, 7, 6, 5)],
        [f"bob/model-{index}" for index in (4, 3, 2, 1)],
        ["bob/model-0"],
        [],
    ]
    assert [page.more for page in pages] == [True, True, False, False]


def test_an_entry_says_what_the_hub_says(fake: FakeHub, visit: Visit) -> None:
    counts = {"parameters": {"F32": 10, "BF16": 4}, "total": 14}
    about = {"likes": 3, "safetensors": counts, "tags": ["base_model:ada/base", "base_model:finetune:ada/base"]}
    fake.add("bob/it", files(), gated=True, **about)
    (entry,) = visit().search("bob/it").entries
    assert (entry.parameters, entry.bytes, entry.likes, entry.gated, entry.private) == (14, 48, 3, True, False)
    assert (entry.base_models, entry.updated) == (("ada/base",), "2026-01-02T03:04:05+00:00")
    assert entry.as_json()["ref"] == entry.ref == "hub:bob/it"


def test_a_private_model_is_found_by_those_who_may_read_it(fake: FakeHub, visit: Visit) -> None:
    fake.add("ada/secret", files(), private=True)
    assert [ids(visit(token).search("secret")) for token in (ADA, BOB, None)] == [["ada/secret"], [], []]


def test_experts_are_those_whose_cards_name_the_base(fake: FakeHub, visit: Visit) -> None:
    fake.add("bob/quantised", files(), tags=["base_model:ada/base", "base_model:quantized:ada/base"], downloads=99)
    assert ids(visit().experts_of("ada/base")) == ["ada/letters", "ada/digits"]


def test_a_card_that_only_names_its_base_counts_where_no_other_does(fake: FakeHub, visit: Visit) -> None:
    fake.add("bob/base", files())
    fake.add("bob/plain", files(), tags=["base_model:bob/base"])
    fake.add("bob/adapter", files(), tags=["base_model:bob/base", "base_model:adapter:bob/base"])
    assert ids(visit().experts_of("bob/base")) == ["bob/plain"]


def test_a_model_that_no_reference_can_name_is_left_out(fake: FakeHub, visit: Visit) -> None:
    fake.add("bob/<img src=x>", files())
    fake.add("bob/fine", files())
    assert ids(visit().search("bob/")) == ["bob/fine"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "a page has 1 to 100 models, but 0"),
        ({"limit": 101}, "a page has 1 to 100 models, but 101"),
        ({"page": -1}, "pages are 0 to 20, but -1"),
        ({"page": 21}, "pages are 0 to 20, but 21"),
        ({"sort": "beauty"}, "a search is sorted by"),
    ],
)
def test_a_search_out_of_range_is_refused_before_a_request(
    fake: FakeHub, visit: Visit, options: dict[str, object], said: str
) -> None:
    with pytest.raises(HubError) as refused:
        visit().search("digits", **options)  # type: ignore[arg-type]
    assert said in str(refused.value) and fake.requests == []


STRANGE: dict[str, list[Any]] = {
    "siblings": [None, 7, {"a": "model.safetensors"}],
    "tags": [None, "base_model:ada/base", {"license": ["mit", None, 3]}],
    "likes": [None, "many", -1, [3], True],
    "downloads": [None, {}, 1.5],
    "cardData": [7, {"license": {}, "model-index": "x", "base_model": 5}, "text"],
    "gated": [None, 5, ["auto"]],
    "private": [None, "yes"],
    "safetensors": [None, [], "F32", {"parameters": 5}, {"total": "x"}, {"parameters": {"F32": None}}],
    "lastModified": [None, 5, "yesterday", "9999-99-99"],
    "pipeline_tag": [None, 5, ["x"], "<img>\n"],
    "inferenceProviderMapping": [5],
    "evalResults": [7, [7]],
    "createdAt": ["never"],
}


@pytest.mark.parametrize("key", STRANGE)
def test_a_strange_value_is_one_that_the_hub_does_not_say_and_hides_no_other_model(
    fake: FakeHub, visit: Visit, key: str
) -> None:
    for index, value in enumerate(STRANGE[key]):
        fake.add(f"bob/strange-{index}", files()).about[key] = value
    fake.add("bob/strange-fine", files(), likes=3)
    found = visit().search("strange", limit=100)
    assert len(found.entries) == len(STRANGE[key]) + 1 and found.unread == 0
    assert found.entries[-1].likes == 3 and not any(entry.gated for entry in found.entries)
    for entry in found.entries if key != "siblings" else ():
        assert visit().survey(entry.ref).elements == 23
    json.dumps([entry.as_json() for entry in found.entries])


def test_entries_that_name_no_model_are_counted_and_take_no_place_of_others(fake: FakeHub, visit: Visit) -> None:
    for index, value in enumerate((None, 7, "fine", "fine", ["x"], "fine")):
        fake.add(f"bob/no-{index}", files()).about |= {} if value == "fine" else {"id": value}
    first, second = (visit().search("no-", limit=3, page=page) for page in range(2))
    assert (ids(first), first.unread, first.more) == (["bob/no-2"], 2, True)
    assert (ids(second), second.unread, second.more) == (["bob/no-3", "bob/no-5"], 1, False)
    assert first.unread_sentence == "2 entries of the Hub could not be read."


def test_a_page_on_another_host_is_asked_for_without_the_token(fake: FakeHub, visit: Visit) -> None:
    for index in range(5):
        fake.add(f"bob/page-{index}", files())
    fake.pages_at = fake.endpoint.replace("127.0.0.1", "localhost")
    assert len(visit(ADA).search("page-").entries) == 5
    assert [request.token for request in fake.asked("/api/models")] == [ADA, None]


def test_a_page_that_leads_nowhere_is_the_last_one(fake: FakeHub, visit: Visit) -> None:
    for index in range(5):
        fake.add(f"bob/page-{index}", files())
    fake.pages_at = ""
    assert len(visit().search("page-").entries) == 5, "an address may be relative"
    for nowhere in ("ftp://hub", "file:///etc", "http://[::bad"):
        fake.pages_at = nowhere
        assert len(visit().search("page-").entries) == 3
    fake.requests.clear()
    fake.fail("endless", "search")
    assert visit().search("page-").entries == () and len(fake.requests) == 1
