"""The drawing of each study, by the study's name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from app.charts.geometry.contract import Drawing

__all__ = ["drawing", "drawings"]


@cache
def drawings() -> Mapping[str, Drawing]:
    """Return every drawing by the name of its study.

    >>> "interpolate" in drawings()
    True
    """
    from app.charts.geometry import (
        align,
        bridge,
        curve,
        disentangle,
        interference,
        interpolate,
        kernel,
        mechanisms,
        plane,
        representations,
        subspace,
        tangent,
        vectors,
    )

    return {
        "interpolate": interpolate.DRAWING,
        "curve": curve.DRAWING,
        "bridge": bridge.DRAWING,
        "align": align.DRAWING,
        "plane": plane.DRAWING,
        "representations": representations.DRAWING,
        "vectors": vectors.DRAWING,
        "disentangle": disentangle.DRAWING,
        "tangent": tangent.DRAWING,
        "kernel": kernel.DRAWING,
        "mechanisms": mechanisms.DRAWING,
        "interference": interference.DRAWING,
        "subspace": subspace.DRAWING,
    }


def drawing(study: str) -> Drawing | None:
    """Return the drawing of a study; nothing where it has tables only."""
    return drawings().get(study)
