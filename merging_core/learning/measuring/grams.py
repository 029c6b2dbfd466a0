"""Gram matrices of what the linear layers of a model read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from merging_core.engines.measured import GRAM, TURNED
from merging_core.learning.batches import Source
from merging_core.learning.leaves import wide
from merging_core.learning.measuring.watching import Watching

__all__ = ["COUNT", "gram_sums"]

Sums = dict[str, torch.Tensor]
COUNT = "count/"


def gram_sums(source: Source, leaves: Mapping[str, torch.Tensor], rows: torch.Tensor, wanted: Collection[str]) -> Sums:
    """Return Σ x xᵀ over everything that the linear layers of the `wanted` leaves read, and of how many x it is.

    Named `gram/<leaf>`, or `turned/<leaf>` for a leaf [in, out], float64 [in, in], and `count/<leaf>` [1]. Layers that
    read the same share the product; a layer that reads twice has the sum of both. Leaves that no layer multiplies by,
    and those of a task's own head, are absent.
    """
    sums: Sums = {}
    watched = {name: leaves[name] for name in wanted if name in leaves and name not in source.own}
    held: tuple[torch.Tensor, tuple[object, ...]] | None = None
    product = torch.empty(0)

    def told(name: str, inputs: torch.Tensor, turned: bool) -> None:
        nonlocal held, product
        same = (inputs.data_ptr(), inputs._version, inputs.shape, inputs.stride())
        if held is None or held[1] != same:
            flat = wide(inputs.reshape(-1, inputs.shape[-1]))
            held, product = (inputs, same), flat.T @ flat
        kind = TURNED if turned else GRAM
        count = torch.tensor([float(inputs.numel() // max(1, inputs.shape[-1]))], dtype=torch.float64)
        for key, value in ((kind + name, product), (COUNT + name, count)):
            sums[key] = sums[key] + value if key in sums else value.clone()

    # Where gradients may be taken, layers are torch's own; none is, since no leaf asks for one.
    with torch.enable_grad(), Watching(watched, told):
        source.found.forward(source.bound(leaves), source.task.prepared(rows))
    return sums
