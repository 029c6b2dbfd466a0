"""The natural order of leaves, under the name by which the parameter space speaks of it."""

from merging_core.checkpoints.natural import natural_key, natural_order

__all__ = ["natural_key", "natural_order"]
