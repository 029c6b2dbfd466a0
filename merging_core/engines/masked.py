"""One task vector in memory, masked; what does not depend on the numbers of its mask is kept for the next slider."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain

import torch

from merging_core.engines.flat import mask_flat
from merging_core.engines.ladder import has_rank, ladder, ladder_thresholds, standings_flat
from merging_core.engines.masking import prepare_mask
from merging_core.engines.plan import Plan
from merging_core.engines.residency import Residency
from merging_core.engines.settings import Same
from merging_core.masks.info import MaskSpec
from merging_core.masks.registry import mask

__all__ = ["masked_vector"]


def masked_vector(  # noqa: PLR0913
    kept: Residency,
    plan: Plan,
    vector: torch.Tensor,
    key: Hashable,
    runs: Sequence[Same[MaskSpec]],
    factors: tuple[float, ...],
    content: str,
) -> torch.Tensor:
    """Return a new flat vector: one task vector after layer scaling of each (`factors`) and its mask in each leaf.

    `key` names the vector and `content` its expert. Thresholds come from its sorted magnitudes, which are kept, as
    standings are.
    """
    space = plan.space
    leaves, spans, spec = space.leaves, [(leaf.start, leaf.stop) for leaf in space.leaves], runs[0].value
    known, standings = None, None
    untouched = all(factor == 1.0 for factor in factors)
    if has_rank(spec, space.size, vector.device) and untouched:
        ranges = [(0, space.size)] if spec.scope == "model" else spans
        steps = kept.get(("ladder", key, spec.scope), lambda: ladder(vector, ranges))
        if spec.scope == "model":
            known = ladder_thresholds(steps, ranges, spec) * len(spans)
        else:
            known = list(chain(*(ladder_thresholds(steps, spans[run.first : run.last], run.value) for run in runs)))

    if mask(spec.kind).by_standing and untouched:
        flat = kept.get(("standings", key, spec.scope), lambda: standings_flat(vector, leaves, spec))

        def standings(index: int) -> torch.Tensor:
            return flat[spans[index][0] : spans[index][1]]

    def walk(part: range) -> tuple[torch.Tensor]:
        return (vector[spans[part.start][0] : spans[part.stop - 1][1]],)

    specs = [run.value for run in runs for _ in range(run.first, run.last)]
    prepared = prepare_mask(
        specs, leaves, factors, walk, seed=plan.stages.seed, content=content, known=known, standings=standings
    )
    return mask_flat(vector, prepared, spans)
