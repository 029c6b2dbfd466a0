"""The methods of learning, in the order in which a page offers them."""

from __future__ import annotations

from functools import cache

from merging_core.learning.adamerging import ADAMERGING, ATLAS
from merging_core.learning.concrete import CONCRETE_ADAMERGING, CONCRETE_TASK_ARITHMETIC
from merging_core.learning.contract import LearnMethod
from merging_core.learning.experts.methods import TRAIN_EXPERT
from merging_core.learning.experts.pruning import DIFF_PRUNING
from merging_core.learning.experts.small import SARA
from merging_core.learning.experts.tangent import TRAIN_LINEARISED
from merging_core.learning.measured_merges import FISHER, REGMEAN, REGMEAN_PLUS_PLUS
from merging_core.learning.realignment import SAFETY_REALIGNMENT
from merging_core.learning.soups.greedy import GREEDY_SOUP
from merging_core.learning.soups.learned import LEARNED_SOUP
from merging_core.learning.soups.robust import ROBUST_SOUP

__all__ = ["learn_method", "learn_methods"]


@cache
def learn_methods() -> tuple[LearnMethod, ...]:
    """Return every method."""
    return (
        ADAMERGING, ATLAS, CONCRETE_TASK_ARITHMETIC, CONCRETE_ADAMERGING, GREEDY_SOUP, LEARNED_SOUP, ROBUST_SOUP,
        FISHER, REGMEAN, REGMEAN_PLUS_PLUS, SAFETY_REALIGNMENT, TRAIN_EXPERT, TRAIN_LINEARISED, DIFF_PRUNING, SARA,
    )  # fmt: skip


def learn_method(name: str) -> LearnMethod:
    """Return the method of a name; raises KeyError for one that is not known.

    >>> learn_method("adamerging").objective
    'entropy'
    """
    return {info.name: info for info in learn_methods()}[name]
