"""The list of masks, and laws that all of them obey."""

from __future__ import annotations

import pytest
import torch

from merging_core.errors import RecipeError
from merging_core.masks.info import MaskInfo, MaskSpec
from merging_core.masks.registry import mask, masks
from tests.masks.leafwise import LeafSpan, masked

each_mask = pytest.mark.parametrize("info", masks(), ids=lambda info: info.name)
SPANS = [LeafSpan("a", 0, 10), LeafSpan("b", 10, 11), LeafSpan("c", 11, 300)]


@each_mask
def test_zero_stays_zero_and_shape_and_type_stay(info: MaskInfo) -> None:
    found = masked(torch.zeros(300), SPANS, MaskSpec(info.name, info.defaults()))
    assert torch.equal(found, torch.zeros(300))
    assert found.dtype == torch.float32


@each_mask
def test_an_element_is_dropped_or_keeps_its_sign(info: MaskInfo) -> None:
    vector = torch.randn(300, generator=torch.Generator().manual_seed(1))
    found = masked(vector, SPANS, MaskSpec(info.name, info.defaults()), seed=1, content="c")
    assert bool(((found == 0) | (found.sign() == vector.sign())).all())
    assert bool((found != 0).any())


@each_mask
@pytest.mark.parametrize("factor", [-2.0, 0.5])
def test_scaling_the_vector_scales_what_survives(info: MaskInfo, factor: float) -> None:
    vector = torch.randn(300, generator=torch.Generator().manual_seed(2))
    spec = MaskSpec(info.name, info.defaults())
    assert torch.equal(masked(vector * factor, SPANS, spec), masked(vector, SPANS, spec) * factor)


@each_mask
def test_the_record_says_what_a_reader_needs(info: MaskInfo) -> None:
    assert info.source.url.startswith("https://")
    assert info.summary.endswith(".")
    assert not set("<>&\\$") & set(info.formula)
    assert all(parameter.problem(parameter.default, "default") is None for parameter in info.parameters)


def test_an_unknown_mask_names_the_closest() -> None:
    with pytest.raises(RecipeError, match="did you mean “magnitude”"):
        mask("magnitud")
