"""By what the live engine's stages are kept: the content of what they are computed from, and every setting upstream."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from merging_core.engines.coefficients import before_mask
from merging_core.engines.masking import is_identity
from merging_core.engines.plan import Plan
from merging_core.engines.residents import Residents
from merging_core.engines.settings import Same
from merging_core.masks.info import MaskSpec

__all__ = ["combined_key", "input_keys", "mask_keys"]

Value = TypeVar("Value")


def input_keys(plan: Plan) -> tuple[Hashable, ...]:
    """Return the keys of what the method combines, before the mask: task vectors, or weights in the weight domain."""
    surveyed, space = plan.survey, plan.space
    if plan.stages.method.domain == "weight" or surveyed.base is None:
        return tuple(("weights", expert.content(), space.size) for expert in surveyed.experts)
    base = surveyed.base
    return tuple(Residents.task_vector_key(base, expert, space) for expert in surveyed.experts)


def mask_keys(plan: Plan, keys: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Return the key of each vector after its mask: its own where layer scaling of each and mask do nothing."""
    found = plan.stages
    factors = before_mask(found, [leaf.depth for leaf in plan.space.leaves])
    untouched = all(factor == 1.0 for factor in factors)
    seed = found.seed if found.stochastic else None
    settings = [_compact(plan.settings.mask_runs(model)) for model in range(len(keys))]
    return tuple(
        key if untouched and isinstance(spec, MaskSpec) and is_identity(spec) else ("masked", key, spec, factors, seed)
        for key, spec in zip(keys, settings, strict=True)
    )


def combined_key(plan: Plan, keys: Sequence[Hashable]) -> Hashable:
    """Return the key of the combination of vectors with these keys."""
    terms = plan.settings.runs(lambda stages: (stages.weights, stages.params))
    mask = plan.survey.learned.mask_content if plan.survey.learned is not None else None
    learned = () if mask is None else (mask,)
    measured = tuple(one.checkpoint.content() if one is not None else None for one in plan.survey.statistics)
    return ("combined", tuple(keys), plan.stages.method.name, _compact(terms), *learned, *measured)


def _compact(runs: tuple[Same[Value], ...]) -> Value | tuple[Same[Value], ...]:
    """Return the one value of all leaves, or the runs of leaves that differ."""
    return runs[0].value if len(runs) == 1 else runs
