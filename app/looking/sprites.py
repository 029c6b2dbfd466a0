"""Validation pictures for the page: one small PNG a request, never an address outside this page."""

from __future__ import annotations

import base64
import io
from typing import Any

import torch
from PIL import Image

__all__ = ["sprite"]


def sprite(images: torch.Tensor) -> dict[str, Any]:
    """Return pictures side by side: `{side, count, source}`, the source a PNG as a data address, empty for none.

    `images`: uint8 `[n, 1, side, side]`.

    >>> sprite(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))["source"][:22]
    'data:image/png;base64,'
    """
    count, side = len(images), int(images.shape[-1])
    if count == 0:
        return {"side": side, "count": 0, "source": ""}
    row = images[:, 0].permute(1, 0, 2).reshape(side, count * side).numpy()
    file = io.BytesIO()
    Image.fromarray(row, mode="L").save(file, "PNG", optimize=True)
    text = base64.b64encode(file.getvalue()).decode()
    return {"side": side, "count": count, "source": f"data:image/png;base64,{text}"}
