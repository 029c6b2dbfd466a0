"""The merges that `benchmarks.agreement` carries out on both sides, and where the sides are meant to differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CASES", "PEERS", "Case"]

PEERS = {"mergekit": "mergekit==0.1.5", "fusion_bench": "fusion_bench==0.2.33"}
"""The other packages: the name of the side's script after `with_`, and what pip installs."""


@dataclass(frozen=True)
class Case:
    """One merge: the method on each side with its settings, and how its results are compared."""

    peer: str
    theirs: str
    ours: str
    settings: dict[str, Any] = field(default_factory=dict)
    """Theirs."""
    params: dict[str, Any] = field(default_factory=dict)
    """Ours, of the method."""
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    """One for each expert that takes part."""
    scale: float = 1.0
    """λ."""
    base: bool = True
    first_is_base: bool = False
    """Whether the other side calls the first of two models its base."""
    compare: Literal["all", "survivors", "norm"] = "all"
    """Every number; those that neither side's coins dropped; or Σ|change| of each leaf."""
    aside: tuple[str, ...] = ()
    """Parts of the names of leaves that are left out, for the reason in `differs`."""
    differs: str = ""
    """Where the sides are meant to differ."""


def _mergekit(theirs: str, ours: str | None = None, **rest: Any) -> Case:
    return Case("mergekit", theirs, ours or theirs, **rest)


def _fusion_bench(theirs: str, ours: str, **rest: Any) -> Case:
    return Case("fusion_bench", theirs, ours, **rest)


_MIXED = (1.0, 0.5, 2.0)
_WEIGHT = {"weight": list(_MIXED)}
_COINS = "the coins"
_PLUS, _ARC = {"cancelled": "positive"}, {"straight": "exactly"}
"""What recipes of mergekit choose when they are imported."""
_DENSE = {**_WEIGHT, "density": 0.35}
_BREADCRUMBS = {**_WEIGHT, "density": 0.5, "gamma": 0.05}
_MATRICES = {"embeddings": "matrix"}
_ONE_MORE = "TIES keeps one element more of each expert, as in its authors' code"
_DELLA = {"density": 0.5, "epsilon": 0.15, "epsilon_is": "half"}

_MERGEKIT = (
    _mergekit("linear", weights=_MIXED, settings={**_WEIGHT, "normalize": True}, base=False),
    _mergekit(
        "linear",
        weights=_MIXED,
        settings={**_WEIGHT, "normalize": False},
        params={"normalize": False},
        base=False,
    ),
    _mergekit(
        "task_arithmetic", weights=(1.0, -0.5, 2.0), scale=0.7, settings={"weight": [1.0, -0.5, 2.0], "lambda": 0.7}
    ),
    _mergekit("ties", weights=_MIXED, settings=_DENSE, params={"density": 0.35, "scope": "leaf", **_PLUS}),
    _mergekit(
        "ties",
        weights=_MIXED,
        scale=0.4,
        settings={**_DENSE, "normalize": False, "lambda": 0.4},
        params={"density": 0.35, "scope": "leaf", "combine": "sum", **_PLUS},
    ),
    _mergekit(
        "dare_linear",
        weights=(1.0,),
        settings={"weight": [1.0], "density": 0.5, "rescale": True},
        params={"rescale": "norm"},
        compare="norm",
        aside=("single",),
        differs="the coins, which take all of a leaf of one element or nothing",
    ),
    _mergekit(
        "dare_linear",
        weights=(1.0,),
        settings={"weight": [1.0], "density": 0.5, "rescale": False},
        params={"rescale": "none"},
        compare="survivors",
        differs=_COINS,
    ),
    _mergekit(
        "dare_ties",
        weights=(1.0,),
        settings={"weight": [1.0], "density": 0.5, "rescale": True},
        params={"rescale": "norm", **_PLUS},
        compare="norm",
        aside=("single",),
        differs="the coins, which take all of a leaf of one element or nothing",
    ),
    _mergekit(
        "breadcrumbs",
        weights=_MIXED,
        settings=_BREADCRUMBS,
        params={"density": 0.5, "gamma": 0.05},
        aside=("single",),
        differs="of a leaf of one element nothing stays there, and one element here",
    ),
    _mergekit(
        "breadcrumbs_ties",
        weights=_MIXED,
        settings={**_BREADCRUMBS, "normalize": True},
        params={"density": 0.5, "gamma": 0.05, **_PLUS},
        aside=("single",),
        differs="of a leaf of one element nothing stays there, and one element here",
    ),
    _mergekit(
        "della_linear",
        weights=(1.0,),
        settings={"weight": [1.0], "density": 0.5, "epsilon": 0.15, "rescale": True},
        params={**_DELLA, "rescale": "norm"},
        compare="norm",
        aside=("single",),
        differs="the coins; a leaf of one element is an error there",
    ),
    _mergekit(
        "della",
        weights=(1.0,),
        settings={"weight": [1.0], "density": 0.5, "epsilon": 0.15, "rescale": False},
        params={**_DELLA, "rescale": "none", **_PLUS},
        compare="survivors",
        aside=("single",),
        differs="the coins; a leaf of one element is an error there",
    ),
    _mergekit("sce", settings={"select_topk": 1.0}, params={"select": 1.0}),
    _mergekit(
        "sce",
        settings={"select_topk": 0.3},
        params={"select": 0.3},
        aside=("single",),
        differs="of a leaf of one element nothing is selected there, and one element here",
    ),
    _mergekit("ram"),
    _mergekit(
        "ramplus_tl",
        settings={"r": 0.3, "alpha": 0.5, "epsilon": 0.01},
        params={"r": 0.3, "alpha": 0.5, "epsilon": 0.01},
    ),
    _mergekit("model_stock", params={"below_zero": "beyond"}),
    _mergekit(
        "model_stock",
        settings={"filter_wise": True},
        params={"granularity": "filter", "below_zero": "beyond"},
        aside=("patch", "norm", "bias", "single"),
        differs="a filter is the last dimension there, and all weights of one output here: the same in matrices",
    ),
    _mergekit("slerp", weights=(1.0, 1.0), settings={"t": 0.3}, params={"t": 0.3}, base=False, first_is_base=True),
    _mergekit("nuslerp", weights=(0.7, 0.3), settings={"weight": [0.7, 0.3]}, params={**_ARC}),
    _mergekit(
        "nuslerp",
        weights=(0.7, 0.3),
        settings={"weight": [0.7, 0.3], "nuslerp_flatten": False},
        params={"granularity": "row", **_ARC},
        aside=("patch", "single"),
        differs="a row is the last dimension there, and one index of the first here: the same in matrices",
    ),
    _mergekit(
        "nuslerp",
        weights=(0.7, 0.3),
        settings={"weight": [0.7, 0.3], "nuslerp_flatten": False, "nuslerp_row_wise": True},
        params={"granularity": "column", **_ARC},
        aside=("patch", "single"),
        differs="columns of matrices alone",
    ),
    _mergekit("multislerp", weights=_MIXED, settings=_WEIGHT),
    _mergekit(
        "karcher", settings={"max_iter": 50, "tol": 1e-7}, params={"iterations": 50, "tolerance": 1e-7}, base=False
    ),
    _mergekit("nearswap", weights=(1.0,), settings={"t": 0.05}, params={"t": 0.05}),
    _mergekit("arcee_fusion", weights=(1.0, 1.0), params={"quartiles": "below"}, base=False, first_is_base=True),
)

_TIES = {"threshold": 20, "remove_keys": []}
_FUSION_BENCH = (
    _fusion_bench("SimpleAverageAlgorithm", "uniform_soup", base=False),
    _fusion_bench(
        "WeightedAverageAlgorithm",
        "linear",
        weights=_MIXED,
        settings={"normalize": True, "weights": list(_MIXED), "verbose": False},
        base=False,
    ),
    _fusion_bench("TaskArithmeticAlgorithm", "task_arithmetic", settings={"scaling_factor": 0.3}, scale=0.3),
    _fusion_bench(
        "TiesMergingAlgorithm",
        "ties",
        settings={**_TIES, "scaling_factor": 0.3, "merge_func": "sum"},
        params={"combine": "sum"},
        scale=0.3,
        differs=_ONE_MORE,
    ),
    _fusion_bench(
        "TiesMergingAlgorithm",
        "ties",
        settings={**_TIES, "scaling_factor": 1.0, "merge_func": "mean"},
        differs=_ONE_MORE,
    ),
    _fusion_bench(
        "DareTaskArithmetic",
        "dare_linear",
        settings={"scaling_factor": 0.3, "sparsity_ratio": 0.7, "only_on_linear_weights": False, "rescale": True},
        params={"density": 0.3},
        weights=(1.0,),
        scale=0.3,
        compare="survivors",
        differs=_COINS,
    ),
    _fusion_bench("MagMaxAlgorithm", "magmax", settings={"scaling_factor": 0.5}, scale=0.5),
    _fusion_bench("unified", "emr"),
    _fusion_bench(
        "consensus",
        "consensus",
        settings={"lambda_": 0.3, "experts": 2, "agreement": 0.4, "ties": False},
        scale=0.3,
    ),
    _fusion_bench(
        "consensus",
        "consensus",
        settings={"lambda_": 1.0, "experts": 2, "agreement": 0.4, "ties": True},
        params={"vector": "ties"},
        differs=_ONE_MORE,
    ),
    _fusion_bench(
        "SlerpMergeAlgorithm", "slerp", settings={"t": 0.3}, params={"t": 0.3}, weights=(1.0, 1.0), base=False
    ),
    _fusion_bench(
        "ModelStock",
        "model_stock",
        weights=(1.0, 1.0),
        differs="a cosine below 0, as a leaf of one element may have, extrapolates there, and counts as 0 here",
    ),
    _fusion_bench(
        "ModelStock",
        "model_stock",
        params={"mean_of": "angles"},
        differs="a mean angle above 90°, as a leaf of one element may have, extrapolates there, and counts as 90° here",
    ),
    _fusion_bench("TaskSingularVectorMerging", "tsv_m", params=_MATRICES, settings={"alpha": 1.0}),
    _fusion_bench("ISO_C_Merge", "iso_c", params=_MATRICES, settings={"scaling_factor": 1.0}),
    _fusion_bench(
        "ISO_CTS_Merge",
        "iso_cts",
        params=_MATRICES,
        settings={"scaling_factor": 1.0, "common_space_fraction": 0.8},
    ),
    _fusion_bench("WUDIMerging", "wudi", params={**_MATRICES, "steps": 100}, settings={"iter_num": 100}),
)

CASES = (*_MERGEKIT, *_FUSION_BENCH)
