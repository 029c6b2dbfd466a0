"""Choosing by measuring: which settings of a method do best, and how all methods compare on the same experts.

Every choice is made on one part of the data and every number that is shown comes from another.
"""

from merging_core.search.comparison import Question as Question
from merging_core.search.comparison import Row as Row
from merging_core.search.comparison import compared as compared
from merging_core.search.entries import Entry as Entry
from merging_core.search.entries import Reference as Reference
from merging_core.search.entries import Skipped as Skipped

__all__ = ["Entry", "Question", "Reference", "Row", "Skipped", "compared"]
