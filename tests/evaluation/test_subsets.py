from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from merging_core.evaluation.subsets import PREVIEW, stratified_order

labels = st.lists(st.integers(0, 6), min_size=1, max_size=80)


@given(labels)
def test_the_order_holds_each_example_once(given_labels: list[int]) -> None:
    assert sorted(stratified_order(given_labels, "s")) == list(range(len(given_labels)))


@given(labels, st.integers(1, 80))
def test_any_beginning_holds_the_classes_as_evenly_as_they_allow(given_labels: list[int], size: int) -> None:
    kept = Counter(given_labels[index] for index in stratified_order(given_labels, "s")[:size])
    there = Counter(given_labels)
    most = max(kept.values())
    assert all(kept[label] >= min(there[label], most - 1) for label in there)


def test_it_is_fixed_by_its_seed_and_different_for_another() -> None:
    given_labels = [index % 10 for index in range(250)]
    first = stratified_order(given_labels, "tiny/digits validation")
    assert first == stratified_order(given_labels, "tiny/digits validation")
    assert first[:PREVIEW] != stratified_order(given_labels, "tiny/letters validation")[:PREVIEW]


def test_the_first_examples_of_known_labels_never_change() -> None:
    """Pinned: a change of this order changes every preview number."""
    assert stratified_order([0, 1, 2] * 4, "pinned")[:6] == (5, 1, 0, 8, 4, 3)
