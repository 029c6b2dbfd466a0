"""Open checkpoints are held for everybody, and only so many of them."""

from __future__ import annotations

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import load_zoo
from merging_core.engines import residents
from merging_core.engines.residents import Residents

BASE, DIGITS, GREEK = "zoo:tiny/base", "zoo:tiny/digits", "zoo:tiny/greek"


def test_what_was_opened_longest_ago_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residents, "_OPENED", 2)
    held = Residents(Catalog(load_zoo()), torch.device("cpu"), 1 << 20)
    base, digits = held.open(BASE), held.open(DIGITS)
    assert held.open(BASE) is base
    held.open(GREEK)
    assert held.open(BASE) is base
    assert held.open(DIGITS) is not digits
