"""What the units of a model do on examples: their activations, class by class, and what each layer writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import conv2d

from merging_core.alignment.symmetry import AxisClass, Symmetry
from merging_core.learning.measuring.watching import Watching

__all__ = ["Forward", "Layer", "Weights", "layers_in", "observed"]

Weights = Mapping[str, torch.Tensor]
Forward = Callable[[Weights, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer that was run: its leaf, its bias or "", whether the leaf is [in, out], what it read, […, in].

    `convolved`: how a convolution was run (stride, padding, …), None of a linear layer. Its positions are observations.
    """

    leaf: str
    bias: str
    turned: bool
    inputs: torch.Tensor
    convolved: Mapping[str, Any] | None = None

    def output(self, weights: Weights) -> torch.Tensor:
        """Return what it writes, [observations, out] float64."""
        weight = weights[self.leaf].double()
        if self.convolved is not None:
            bias = weights[self.bias].double() if self.bias else None
            written = conv2d(self.inputs.movedim(-1, 1).double(), weight, bias, **self.convolved)
            return written.movedim(1, -1).flatten(0, -2)
        found = self.inputs.flatten(0, -2).double() @ (weight if self.turned else weight.T)
        return found + weights[self.bias].double() if self.bias else found


def layers_in(forward: Forward, weights: Weights, rows: torch.Tensor) -> tuple[Layer, ...]:
    """Run a model on rows and return its linear layers and convolutions in their order, each as it was run first."""
    found: dict[str, Layer] = {}

    def told(name: str, inputs: torch.Tensor, turned: bool) -> None:
        if weights[name].dim() == 2:  # noqa: PLR2004
            found.setdefault(name, Layer(name, _bias(name, weights), turned, inputs))

    def convolved(name: str, inputs: torch.Tensor, how: Mapping[str, Any]) -> None:
        if how.get("groups", 1) == 1:
            found.setdefault(name, Layer(name, _bias(name, weights), False, inputs.movedim(1, -1), how))

    # Where gradients may be taken, layers are torch's own; none is, since no leaf asks for one.
    with torch.enable_grad(), Watching(weights, told, convolved):
        forward(weights, rows)
    return tuple(found.values())


def _bias(name: str, weights: Weights) -> str:
    bias = f"{name.removesuffix('weight')}bias"
    return bias if name.endswith("weight") and bias in weights else ""


def observed(symmetry: Symmetry, weights: Weights, layers: tuple[Layer, ...]) -> dict[str, torch.Tensor]:
    """Return the activations of each class, [observations, size] float64, as what layers read of it, or write of it.

    Several layers that read the same class give one set of observations each, one below the other. Classes that no
    layer reads or writes are absent.
    """
    run = {layer.leaf: layer for layer in layers}
    found: dict[str, torch.Tensor] = {}
    for units in symmetry.classes:
        reads, writes = _places(units, run)
        parts = [layer.inputs.flatten(0, -2).double() for layer in reads]
        if not parts:
            parts = [run[leaf].output(weights)[:, start : start + units.size] for leaf, start in writes]
        if parts:
            found[units.name] = torch.cat(parts)
    return found


def _places(units: AxisClass, run: Mapping[str, Layer]) -> tuple[list[Layer], list[tuple[str, int]]]:
    """Return the layers that read a class, and those that write it with the first of its outputs."""
    reads: dict[int, Layer] = {}
    writes: list[tuple[str, int]] = []
    for site in units.sites:
        layer = run.get(site.leaf)
        if layer is None or site.repeat != 1:
            continue
        inside = 0 if layer.turned else 1
        if site.axis == inside:
            reads.setdefault(layer.inputs.data_ptr(), layer)
        else:
            writes.append((site.leaf, site.offset))
    return list(reads.values()), writes
