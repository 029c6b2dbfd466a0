"""What stands on the page until the studio does: the same boxes in the same sizes, so that nothing jumps."""

from __future__ import annotations

__all__ = ["skeleton"]

_PANELS = (248, 228, 240, 124)
"""Pixels: accuracy, path, layers and history on a wide screen."""

_STYLE = """
.basin-loading { min-height: 100vh; font: 13px system-ui, sans-serif; color: #6b7280 }
.basin-loading .line { height: 44px; padding: 13px 14px; box-sizing: border-box; font-size: 16px; font-weight: 650 }
.basin-loading .boxes { display: grid; grid-template-columns: 324px minmax(0, 1fr) }
.basin-loading .box { box-sizing: border-box; padding: 10px 14px; border-top: 1px solid rgb(128 136 150 / 0.2) }
.basin-loading .box i { display: block; height: 100%; border-radius: 6px; background: rgb(128 136 150 / 0.1) }
@media (max-width: 1080px) { .basin-loading .boxes { grid-template-columns: 290px minmax(0, 1fr) } }
@media (max-width: 760px) {
  .basin-loading .boxes { display: block } .basin-loading .rail { display: none }
}
"""


def skeleton() -> str:
    """Return the markup that Gradio shows first; the studio's script replaces it.

    >>> skeleton().count('class="box"')
    4
    """
    boxes = "".join(f'<div class="box" style="height: {height}px"><i></i></div>' for height in _PANELS)
    rail = f'<div class="box rail" style="height: {sum(_PANELS)}px"><i></i></div>'
    return (
        f'<div class="basin-loading" role="status" aria-label="Basin is loading"><style>{_STYLE}</style>'
        f'<div class="line">Basin</div><div class="boxes">{rail}<div>{boxes}</div></div></div>'
    )
