"""Looking at weights: how models differ, and the low-rank adapter that comes nearest to a difference."""

from merging_core.analysis.difference import Difference as Difference
from merging_core.analysis.difference import difference as difference

__all__ = ["Difference", "difference"]
