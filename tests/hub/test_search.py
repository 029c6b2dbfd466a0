"""Finding models: pages, filters, experts of a base, and entries that strangers wrote."""

from __future__ import annotations

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
