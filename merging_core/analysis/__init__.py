"""Looking at weights: how models differ, and the low-rank adapter that comes nearest to a difference."""

from merging_core.analysis.difference import Difference as Difference
from merging_core.analysis.difference import difference as difference
from merging_core.analysis.extraction import Extraction as Extraction
from merging_core.analysis.extraction import extract_lora as extract_lora

__all__ = ["Difference", "Extraction", "difference", "extract_lora"]
