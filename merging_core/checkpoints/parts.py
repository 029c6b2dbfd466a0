"""A part of a checkpoint as a checkpoint of its own: the vision tower of a whole CLIP model.

Fine-tuned towers are published alone, and their base lies inside a model of two towers. The part has the tower's leaves
under the names that they have in the file, and the tower's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.ref import Ref
from merging_core.errors import CheckpointError, Problem

__all__ = ["part_of"]

_START = "vision_model."
_COUNTED = ".position_ids"
"""Places counted from 0, which older files hold and newer ones do not; no weights."""


def part_of(whole: Checkpoint, ref: Ref) -> Checkpoint:
    """Return the part of a checkpoint that a reference names (`#vision`), from headers alone.

    Raises CheckpointError where the checkpoint is not a CLIP model of two towers.
    """
    inner = whole.config.get("vision_config")
    leaves = {
        name: leaf for name, leaf in whole.leaves.items() if name.startswith(_START) and not name.endswith(_COUNTED)
    }
    if whole.config.get("model_type") != "clip" or not isinstance(inner, Mapping) or not leaves:
        must = "#vision is the vision tower of a CLIP model of two towers"
        got = ascii(repr(whole.config.get("model_type"))[:60])
        raise CheckpointError(Problem(must, got, ref.label, "leave #vision out"))
    config: dict[str, Any] = {**inner, "model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"]}
    return replace(whole, ref=ref, label=ref.label, config=config, leaves=leaves, known_content=None, twins=())
