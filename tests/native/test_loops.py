"""The compiled loops give the bits of what they stand for, and are never needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from merging_core.engines.kernel import finished
from merging_core.masks import ranks
from merging_core.masks.info import MaskContext
from merging_core.masks.magnitude import keep_largest
from merging_core.masks.random import keep_at_random, survivors
from merging_core.methods.contract import CombineContext
from merging_core.methods.info import Parameters
from merging_core.methods.sums import weighted_sum
from merging_core.methods.ties import sign_balance, sign_consensus
from merging_core.native import library, loops

SIZES = (1, 7, 64, 1023, 1024, 1025, 5000)
needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="no C compiler is here")


def numbers(models: int, size: int, seed: int = 0) -> torch.Tensor:
    """Return vectors with zeros of both signs, equal and opposite numbers, tiny and huge ones."""
    chance = torch.Generator().manual_seed(seed)
    found = torch.randn(models, size, generator=chance)
    found *= 10.0 ** torch.randint(-3, 3, (models, size), generator=chance)
    found[torch.rand(models, size, generator=chance) < 0.3] = 0.0
    found[torch.rand(models, size, generator=chance) < 0.1] = -0.0
    found[-1, ::3] = -found[0, ::3]
    found[0, ::11] = 1e-42
    found[0, ::13] = 3e38
    return found


def both_ways(monkeypatch: pytest.MonkeyPatch, compute: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the bits with the loops and without them."""
    assert loops.has_loops()
    quick = compute()
    with monkeypatch.context() as changed:
        changed.setattr(loops, "_loaded", lambda: None)
        return bits(quick), bits(compute())


def as_words(found: torch.Tensor) -> torch.Tensor:
    return found.view(torch.int16 if found.dtype is torch.bfloat16 else torch.int32)


def bits(found: torch.Tensor) -> torch.Tensor:
    return found.view(torch.int32) if found.dtype is torch.float32 else found


@needs_compiler
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("models", [1, 2, 5])
@pytest.mark.parametrize(("params", "majority"), [({}, 1.0), ({}, -1.0), ({"combine": "sum"}, 1.0)])
def test_votes_and_sums_have_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, size: int, models: int, params: dict[str, str], majority: float
) -> None:
    vectors, weights = numbers(models, size), torch.linspace(-0.5, 1.5, models)
    context = CombineContext(Parameters(**params), {"majority_sign": torch.tensor(majority)})
    quick, plain = both_ways(monkeypatch, lambda: sign_consensus(vectors, weights, context))
    assert torch.equal(quick, plain)
    quick, plain = both_ways(monkeypatch, lambda: weighted_sum(vectors, weights))
    assert torch.equal(quick, plain)
    quick, plain = both_ways(monkeypatch, lambda: sign_balance(vectors, weights, Parameters()))
    assert torch.equal(quick, plain)


@needs_compiler
def test_rows_may_be_parts_of_longer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    part = numbers(3, 3000)[:, 700:2100]
    quick, plain = both_ways(monkeypatch, lambda: sign_consensus(part, torch.ones(3), CombineContext()))
    assert torch.equal(quick, plain)


@needs_compiler
@pytest.mark.parametrize("start", [0, 5, (1 << 15) - 3, (1 << 32) - 700, (1 << 40) + 1])
@pytest.mark.parametrize("density", [0.5, 0.3, 2.0**-33, 1.0 - 2.0**-30])
def test_the_same_elements_survive_by_chance(monkeypatch: pytest.MonkeyPatch, start: int, density: float) -> None:
    vector = numbers(1, 1500)[0]
    context = MaskContext(key=0x9E3779B97F4A7C15, start=start)
    quick, plain = both_ways(monkeypatch, lambda: survivors(vector, context, density, 1.0 / max(density, 0.1)))
    assert torch.equal(quick, plain)


@needs_compiler
@pytest.mark.parametrize("size", [70_001, 140_000])
def test_ranks_are_the_same(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    vector = numbers(1, size)[0]
    wanted = (1, 2, size // 3, size // 2, size)
    quick, plain = both_ways(monkeypatch, lambda: ranks.magnitudes_of_ranks([vector[:500], vector[500:]], wanted))
    assert torch.equal(quick, plain)
    assert torch.equal(
        quick.view(torch.float32), vector.abs().sort(descending=True).values[[rank - 1 for rank in wanted]]
    )


@needs_compiler
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("domain", ["task_vector", "weight"])
@pytest.mark.parametrize("coefficient", [0.3, 1.0, 0.0, -2.0])
def test_weights_come_and_go_with_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, size: int, dtype: torch.dtype, domain: str, coefficient: float
) -> None:
    weights, (base, combined) = numbers(1, size, 1)[0].to(dtype), numbers(2, size, 2)
    room = torch.empty(size)
    for minus in (None, base):
        assert loops.widen_(room, weights, minus) is bool(torch.isfinite(weights).all())
        plain = weights.to(torch.float32) if minus is None else weights.to(torch.float32) - minus
        assert torch.equal(bits(room), bits(plain))
    for origin in (None, base):
        quick = finished(combined, origin, coefficient, domain, dtype)
        with monkeypatch.context() as changed:
            changed.setattr(loops, "_loaded", lambda: None)
            out, largest = finished(combined, origin, coefficient, domain, dtype)
        assert torch.equal(as_words(quick[0]), as_words(out)) and quick[1].item() == largest.item()


@needs_compiler
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("place", [0, 700, 1999])
def test_what_is_not_finite_is_noticed(bad: float, dtype: torch.dtype, place: int) -> None:
    weights, room = torch.zeros(2000, dtype=dtype), torch.empty(2000)
    weights[place] = bad
    assert loops.widen_(room, weights) is False and loops.widen_(room, weights, torch.ones(2000)) is False
    _, largest = finished(weights.float(), None, 1.0, "weight", dtype)
    assert not largest.item() < math.inf


@needs_compiler
def test_a_number_that_rounds_to_infinity_is_told_by_its_magnitude() -> None:
    out, largest = finished(torch.tensor([1.0, -3.4e38]), None, 1.0, "weight", torch.bfloat16)
    assert out.tolist() == [1.0, -math.inf] and largest.item() == pytest.approx(3.4e38)


@needs_compiler
def test_other_dtypes_and_devices_are_left_to_torch() -> None:
    assert loops.widen_(torch.empty(2), torch.ones(2, dtype=torch.float16)) is None
    assert loops.widen_(torch.empty(2), torch.ones(4, dtype=torch.bfloat16)[::2]) is None
    assert finished(torch.ones(2), None, 1.0, "weight", torch.float16)[0].dtype is torch.float16


@needs_compiler
@pytest.mark.parametrize("size", SIZES)
def test_masks_write_into_what_is_the_engines_own_and_leave_the_rest_alone(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    vector = numbers(1, size)[0]
    for apply, params in ((keep_largest, {"density": 0.5}), (keep_at_random, {"density": 0.4})):
        context = MaskContext(Parameters(**params), torch.tensor([0.5]), key=9, start=3)
        quick, plain = both_ways(monkeypatch, lambda apply=apply, context=context: apply(vector.clone(), context))
        assert torch.equal(quick, plain)
        own = vector.clone()
        assert apply(own, replace(context, own=True)) is own and torch.equal(bits(own), plain)
        kept = vector.clone()
        apply(kept, context)
        assert torch.equal(bits(kept), bits(vector))


@needs_compiler
@pytest.mark.parametrize("ranges", [[(0, 1 << 29)], [(1 << 29, (1 << 30) + 5)], [(0, 0), (0x3F000000, 0x40000000)]])
def test_magnitudes_within_ranges_are_the_same(monkeypatch: pytest.MonkeyPatch, ranges: list[tuple[int, int]]) -> None:
    vector = numbers(1, 3001)[0]
    found, above = ranks._in_ranges(vector, ranges)
    with monkeypatch.context() as changed:
        changed.setattr(loops, "_loaded", lambda: None)
        plain, more = ranks._in_ranges(vector, ranges)
    assert torch.equal(found, plain) and list(above) == list(more)


@needs_compiler
def test_what_a_gradient_is_asked_of_is_computed_plainly() -> None:
    vectors, weights = torch.ones(2, 4), torch.ones(2, requires_grad=True)
    weighted_sum(vectors, weights).sum().backward()
    assert weights.grad is not None and weights.grad.tolist() == [4.0, 4.0]
    assert loops.summed(vectors.double(), torch.ones(2)) is None
    assert torch.func.grad(lambda w: weighted_sum(vectors, w).sum())(torch.ones(2)).tolist() == [4.0, 4.0]


def test_ranks_of_few_elements_must_exist() -> None:
    with pytest.raises(ValueError, match="no element of one of the ranks"):
        ranks.magnitudes_at([torch.ones(3)], lambda size: (size + 1,))


def test_they_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.SWITCH, "off")
    assert library.library.__wrapped__() is None


def test_without_a_compiler_nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert library.compiled(Path(library.__file__).with_name("kernels.c"), tmp_path) is None


@needs_compiler
def test_what_does_not_compile_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("this is not C")
    assert library.compiled(source, tmp_path) is None
    assert list(tmp_path.iterdir()) == [source]


def test_a_compiler_that_takes_too_long_is_given_up_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, folder = tmp_path / "small.c", tmp_path / "built"
    folder.mkdir()
    source.write_text("int one(void) { return 1; }")
    slow = tmp_path / "slow-cc"
    slow.write_text('#!/bin/sh\nfor last in "$@"; do [ "$past" = -o ] && : > "$last"; past=$last; done\nsleep 5\n')
    slow.chmod(0o755)
    monkeypatch.setenv("CC", str(slow))
    monkeypatch.setattr(library, "_PATIENCE_S", 0.3)
    assert library.compiled(source, folder) is None
    assert not list(folder.iterdir())


@needs_compiler
def test_they_are_built_once(tmp_path: Path) -> None:
    source = tmp_path / "small.c"
    source.write_text("int one(void) { return 1; }")
    first = library.compiled(source, tmp_path)
    assert first is not None
    written = first.stat().st_mtime_ns
    assert library.compiled(source, tmp_path) == first and first.stat().st_mtime_ns == written
