"""The list of merge methods, in the order in which they are offered, and what all registries say as JSON."""

from __future__ import annotations

from merging_core.errors import Problem, RecipeError, closest
from merging_core.masks.registry import masks
from merging_core.methods.arcee_fusion import ARCEE_FUSION
from merging_core.methods.competition import PCB
from merging_core.methods.consensus import CONSENSUS
from merging_core.methods.contract import MethodInfo
from merging_core.methods.fisher import FISHER
from merging_core.methods.isotropic import ISO_C, ISO_CTS
from merging_core.methods.largest import EMR, MAGMAX
from merging_core.methods.linear import LINEAR
from merging_core.methods.model_stock import MODEL_STOCK
from merging_core.methods.nearswap import NEARSWAP
from merging_core.methods.nuslerp import NUSLERP
from merging_core.methods.regmean import REGMEAN
from merging_core.methods.reinforced import RAM, RAM_PLUS
from merging_core.methods.sce import SCE
from merging_core.methods.slerp import SLERP
from merging_core.methods.soups import REWARDED_SOUP, UNIFORM_SOUP, WISE_FT
from merging_core.methods.sparsified import BREADCRUMBS, BREADCRUMBS_TIES, DELLA, DELLA_LINEAR
from merging_core.methods.sphere_means import KARCHER, MULTISLERP
from merging_core.methods.swalp import SWALP
from merging_core.methods.task_arithmetic import DARE_LINEAR, TASK_ARITHMETIC
from merging_core.methods.ties import DARE_TIES, TIES
from merging_core.methods.trajectories import EMA, HWA, LAWA, SWA, SWAD
from merging_core.methods.tsv_m import TSV_M
from merging_core.methods.wudi import WUDI
from merging_core.scaling.registry import scalings

__all__ = ["distinct", "method", "methods", "registry_as_json"]


def methods() -> tuple[MethodInfo, ...]:
    """Return every merge method.

    >>> [info.name for info in methods()][:3], len(methods()) == len({info.name for info in methods()})
    (['linear', 'uniform_soup', 'rewarded_soup'], True)
    """
    averages = (LINEAR, UNIFORM_SOUP, REWARDED_SOUP, WISE_FT, SWA, SWAD, SWALP, EMA, LAWA, HWA)
    measured = (FISHER, REGMEAN)
    sums = (TASK_ARITHMETIC, RAM, RAM_PLUS, NEARSWAP)
    consensus = (TIES, MAGMAX, EMR, CONSENSUS, SCE)
    sparsified = (DARE_LINEAR, DARE_TIES, BREADCRUMBS, BREADCRUMBS_TIES, DELLA_LINEAR, DELLA, PCB, ARCEE_FUSION)
    spherical = (SLERP, NUSLERP, MULTISLERP, KARCHER)
    subspace = (TSV_M, ISO_C, ISO_CTS, WUDI)
    groups = (averages, measured, (MODEL_STOCK,), sums, consensus, sparsified, spherical, subspace)
    return distinct(tuple(info for group in groups for info in group))


def distinct(infos: tuple[MethodInfo, ...]) -> tuple[MethodInfo, ...]:
    """Return the methods as they are; raise ValueError if two share a name.

    >>> distinct((LINEAR, LINEAR))
    Traceback (most recent call last):
    ValueError: two methods are called linear
    """
    seen: set[str] = set()
    for info in infos:
        if info.name in seen:
            raise ValueError(f"two methods are called {info.name}")
        seen.add(info.name)
    return infos


def method(name: str) -> MethodInfo:
    """Return the method of this name; raise RecipeError with the closest match if there is none.

    >>> method("ties").default_lambda
    1.0
    """
    for info in methods():
        if info.name == name:
            return info
    known = [info.name for info in methods()]
    raise RecipeError(Problem("a method is known by its name", name, "method.name", closest(name, known)))


def registry_as_json() -> dict[str, list[dict[str, object]]]:
    """Return all methods, masks and layer scalings, without their functions, for the studio and the documentation."""
    return {
        "methods": [info.as_json() for info in methods()],
        "masks": [info.as_json() for info in masks()],
        "scalings": [info.as_json() for info in scalings()],
    }
