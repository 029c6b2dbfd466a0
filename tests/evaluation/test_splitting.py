from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from merging_core.evaluation.splitting import SHARES, divided, portion

LABELS = st.lists(st.integers(0, 5), max_size=200)


@given(LABELS, st.text(max_size=5))
def test_splits_are_disjoint_and_whole(labels: list[int], seed: str) -> None:
    found = divided(labels, SHARES, seed)
    assert sorted(index for indices in found.values() for index in indices) == list(range(len(labels)))
    assert list(found) == list(SHARES) and found == divided(labels, SHARES, seed)


@given(LABELS, st.text(max_size=5))
def test_each_class_keeps_its_share_to_within_one_example(labels: list[int], seed: str) -> None:
    found = divided(labels, SHARES, seed)
    for label in set(labels):
        n = labels.count(label)
        for split, share in SHARES.items():
            got = sum(labels[index] == label for index in found[split])
            assert abs(got - share * n) < 1 + 1e-9


def test_another_seed_divides_otherwise() -> None:
    labels = [0, 1] * 100
    assert divided(labels, SHARES, "a") != divided(labels, SHARES, "b")


def test_examples_are_divided_by_their_hash_alone() -> None:
    def key(index: int) -> bytes:
        return sha256(f"golden 0\nexample\n{index}".encode()).digest()

    found = divided([0] * 8 + [1] * 8, {"train": 0.5, "test": 0.5}, "golden 0")
    assert found["train"] == (*sorted(sorted(range(8), key=key)[:4]), *sorted(sorted(range(8, 16), key=key)[:4]))
    assert found == {"train": (2, 4, 5, 6, 10, 13, 14, 15), "test": (0, 1, 3, 7, 8, 9, 11, 12)}


@given(LABELS, st.integers(1, 60))
def test_a_portion_has_no_more_than_was_asked_and_keeps_proportions(labels: list[int], most: int) -> None:
    kept = portion(labels, most, "seed")
    assert len(kept) <= most and list(kept) == sorted(set(kept))
    if len(labels) > most:
        assert len(kept) >= most - len(set(labels))
        for label in set(labels):
            got = sum(labels[index] == label for index in kept)
            assert got <= most / len(labels) * labels.count(label) + 1 + 1e-9
