"""Choosing by measuring: which settings of a method do best, and how all methods compare on the same experts.

Every choice is made on one part of the data and every number that is shown comes from another.
"""

from merging_core.search.comparison import Question, Row, compared
from merging_core.search.entries import Entry, Reference, Skipped

__all__ = ["Entry", "Question", "Reference", "Row", "Skipped", "compared"]
