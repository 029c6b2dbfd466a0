"""Two panels side by side where there is room, one above the other where there is little."""

from __future__ import annotations

from typing import Any

from app.charts.roles import caption

__all__ = ["LEFT", "RIGHT", "stacked"]

LEFT, RIGHT = (0.0, 0.465), (0.535, 1.0)
"""Which part of the width each takes."""
_TOP, _BOTTOM = (0.58, 1.0), (0.0, 0.41)


def stacked(first: str, second: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what differs on a narrow screen: both panels over the whole width, each under its caption.

    `annotations`: what else is written into the figure. `more`: other values, with `__` for a dot in their path.

    >>> stacked("loss", "accuracy", xaxis__showticklabels=False)["xaxis.showticklabels"]
    False
    """
    return {
        "xaxis.domain": [0.0, 1.0],
        "xaxis2.domain": [0.0, 1.0],
        "yaxis.domain": list(_TOP),
        "yaxis2.domain": list(_BOTTOM),
        "annotations": [caption(first, 0.0), caption(second, 0.0, _BOTTOM[1]), *annotations],
        **{name.replace("__", "."): value for name, value in more.items()},
    }
