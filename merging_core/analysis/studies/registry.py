"""All studies, in the order in which a page offers them."""

from __future__ import annotations

from functools import cache

from merging_core.analysis.studies.contract import Study
from merging_core.errors import Problem, RecipeError, closest
from merging_core.methods.info import shown

__all__ = ["studies", "study"]


@cache
def studies() -> tuple[Study, ...]:
    """Return every study.

    >>> [one.name for one in studies()][:1]
    ['interpolate']
    """
    from merging_core.analysis.aligning.align import ALIGN
    from merging_core.analysis.curves.bridge import BRIDGE
    from merging_core.analysis.curves.study import CURVE
    from merging_core.analysis.mechanisms.mechanisms import MECHANISMS
    from merging_core.analysis.paths.interpolate import INTERPOLATE
    from merging_core.analysis.planes.plane import PLANE
    from merging_core.analysis.representations.represent import REPRESENTATIONS
    from merging_core.analysis.subspaces.subspace import SUBSPACE
    from merging_core.analysis.tangents.disentangle import DISENTANGLE
    from merging_core.analysis.tangents.foretell import TANGENT
    from merging_core.analysis.tangents.kernel import KERNEL
    from merging_core.analysis.vectors.interference import INTERFERENCE
    from merging_core.analysis.vectors.task_vectors import VECTORS

    return (
        INTERPOLATE,
        CURVE,
        BRIDGE,
        ALIGN,
        PLANE,
        SUBSPACE,
        DISENTANGLE,
        TANGENT,
        KERNEL,
        VECTORS,
        INTERFERENCE,
        REPRESENTATIONS,
        MECHANISMS,
    )


def study(name: str) -> Study:
    """Return the study of this name; raises RecipeError with the closest one."""
    found = {one.name: one for one in studies()}
    if name not in found:
        raise RecipeError(Problem("a study is known by name", shown(name), "study.name", closest(name, found)))
    return found[name]
