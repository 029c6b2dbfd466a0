"""CLIP's zero-shot heads: class names put into sentences, and those through the text tower of a CLIP checkpoint."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch.nn.functional import normalize

from merging_core.checkpoints.content import content_digest
from merging_core.checkpoints.dtypes import is_floating
from merging_core.checkpoints.reader import Checkpoint
from merging_core.errors import CancelledError, EvaluationError, Problem
from merging_core.evaluation.allowed_models import AllowedModel, allowed_tower
from merging_core.evaluation.architectures import Architecture, fitting
from merging_core.evaluation.heads import PrototypeHead
from merging_core.evaluation.token_rows import packed, trimmed
from merging_core.evaluation.tokenizing import TextTokenizer, read_tokenizer
from merging_core.evaluation.transformers_models import TransformersModel

__all__ = ["has_text_tower", "zero_shot_head"]

_AT_ONCE = 32
_MAX_PROMPTS = 200_000
_CACHE_VERSION = 1
_LARGEST_SCALE = 20
_TEXT, _SCALE, _PROJECTION = "CLIPTextModelWithProjection", "logit_scale", "visual_projection.weight"


@dataclass(frozen=True)
class _Tower:
    """A text tower, and which leaves of the file it, the scale and the projection are read from."""

    checkpoint: Checkpoint
    allowed: AllowedModel
    names: tuple[str, ...]


def has_text_tower(checkpoint: Checkpoint) -> bool:
    """Say by its headers whether a checkpoint is a CLIP model of two towers, from which a zero-shot head can come."""
    return checkpoint.config.get("model_type") == "clip" and {_SCALE, _PROJECTION} <= checkpoint.leaves.keys()


def zero_shot_head(
    clip: Checkpoint,
    names: Sequence[str],
    templates: Sequence[str],
    *,
    cache: Path | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> PrototypeHead:
    """Return the zero-shot head of a CLIP checkpoint for classes of these names.

    prototype = normalise(mean over templates of normalise(text features of the template with the name in it)), scale =
    exp(logit_scale), projection = the checkpoint's visual projection, for towers that have none of their own.

    `clip`: a checkpoint of CLIPModel (`model_type` `clip`) whose folder holds `tokenizer.json`; `templates` have `{}`
    where the name goes. `cache`: a folder in which prototypes are kept, by the digest of text tower, tokenizer, names
    and templates. Computed in float32 on the CPU. Raises EvaluationError (another model, a leaf that does not fit, a
    prompt that is too long), CheckpointError as reading does, and CancelledError.

    Source: Radford et al. 2021, arXiv:2103.00020, sections 3.1.2 and 3.1.4, and the notebook
    `Prompt_Engineering_for_ImageNet` of openai/CLIP.
    """
    _check(names, templates)
    tower, tokenizer = _tower(clip), read_tokenizer(clip.folder)
    with clip.reading() as reading:
        scale, projection = reading.read(_SCALE).float(), reading.read(_PROJECTION).float()
        if (
            scale.numel() != 1
            or abs(float(scale)) > _LARGEST_SCALE
            or projection.dim() != 2
            or projection.shape[0] != tower.allowed.width
        ):
            must = f"{_SCALE} is one number up to {_LARGEST_SCALE}, {_PROJECTION} gives {tower.allowed.width} features"
            got = f"{scale.flatten()[:2].tolist()} and {list(projection.shape)}"
            raise EvaluationError(Problem(must, got, clip.label))
        key = ""
        if cache is not None:
            leaves = [clip.leaves[name] for name in tower.names]
            key = _key(content_digest(leaves, reading.data_digest), tower.allowed, tokenizer, names, templates)
            known = _known(cache / f"{key}.safetensors", (len(names), tower.allowed.width))
            if known is not None:
                return PrototypeHead(known, math.exp(float(scale)), projection)
        weights = {name: reading.read(name) for name in tower.names}
    prototypes = _prototypes(tower, weights, tokenizer, names, templates, cancelled)
    if cache is not None:
        _keep(cache, key, prototypes)
    return PrototypeHead(prototypes, math.exp(float(scale)), projection)


def _check(names: Sequence[str], templates: Sequence[str]) -> None:
    problems = []
    if len(names) < 2:
        problems.append(Problem("a head has at least two classes", str(len(names)), "class names"))
    if not templates:
        problems.append(Problem("there is a prompt template", "none", "templates"))
    if len(names) * len(templates) > _MAX_PROMPTS:
        got = f"{len(names) * len(templates):,}"
        problems.append(Problem(f"there are at most {_MAX_PROMPTS:,} prompts", got, "templates"))
    for template in templates:
        if template.count("{}") != 1 or template.replace("{}", "").count("{"):
            problems.append(Problem("a template has one {} for the name", repr(template)[:80], "templates"))
    if problems:
        raise EvaluationError(*problems)


def _tower(clip: Checkpoint) -> _Tower:
    config: Mapping[str, Any] = clip.config
    inner = config.get("text_config") or {}
    problems = []
    if config.get("model_type") != "clip":
        fix = "give the whole CLIP model, not a tower of it"
        must = "a zero-shot head comes from a checkpoint of CLIPModel"
        problems.append(Problem(must, repr(config.get("model_type"))[:60], f"{clip.label}: model_type", fix))
    elif not isinstance(inner, Mapping):
        problems.append(Problem("text_config is an object", repr(inner)[:60], f"{clip.label}: text_config"))
    for leaf in (_SCALE, _PROJECTION):
        if leaf not in clip.leaves:
            problems.append(Problem("CLIPModel has this leaf", "no such leaf", f"{clip.label}: {leaf}"))
    if problems:
        raise EvaluationError(*problems)
    allowed = allowed_tower({**inner, "projection_dim": config.get("projection_dim", 512)}, _TEXT)
    skipped = ("vision_model.", "visual_projection.", _SCALE)
    names = tuple(
        name for name, leaf in clip.leaves.items() if is_floating(leaf.dtype) and not name.startswith(skipped)
    )
    return _Tower(clip, allowed, names)


def _prototypes(
    tower: _Tower,
    weights: Mapping[str, torch.Tensor],
    tokenizer: TextTokenizer,
    names: Sequence[str],
    templates: Sequence[str],
    cancelled: Callable[[], bool] | None,
) -> torch.Tensor:
    """Return unit prototypes `[classes, width]`."""
    allowed, model = tower.allowed, TransformersModel(tower.allowed)
    found = Architecture(
        name=_TEXT, leaves=model.leaves, input_shape=(0, 0, 0), gives="features", width=allowed.width,
        forward=model.text_features, reads="tokens", vocabulary=allowed.vocabulary, longest=allowed.longest,
        spelling=model.spelling,
    )  # fmt: skip
    bound = fitting(found, weights, torch.device("cpu"))
    rows = tokenizer.ids([template.replace("{}", name) for name in names for template in templates])
    longest, largest = max(map(len, rows)), max((max(row, default=0) for row in rows), default=0)
    if longest > allowed.longest or largest >= allowed.vocabulary or min(map(len, rows)) == 0:
        must = f"a prompt has 1 to {allowed.longest} tokens of a vocabulary of {allowed.vocabulary:,}"
        raise EvaluationError(Problem(must, f"{longest} tokens up to number {largest:,}", tower.checkpoint.label))
    features = []
    for start in range(0, len(rows), _AT_ONCE):
        if cancelled is not None and cancelled():
            raise CancelledError(Problem("a head is made while it is wanted", "a newer request"))
        piece = rows[start : start + _AT_ONCE]
        ids, _, _ = trimmed(packed(piece, [[0] * len(row) for row in piece]), 0)
        with torch.inference_mode():
            features.append(normalize(model.text_features(bound, ids), dim=-1))
    means = torch.cat(features).view(len(names), len(templates), -1).mean(dim=1)
    return normalize(means, dim=-1).clone()


def _key(
    leaves: str, allowed: AllowedModel, tokenizer: TextTokenizer, names: Sequence[str], templates: Sequence[str]
) -> str:
    said = {
        "version": _CACHE_VERSION, "leaves": leaves, "config": dict(allowed.values), "names": list(names),
        "templates": list(templates), "tokenizer": hashlib.sha256(tokenizer.data).hexdigest(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _known(path: Path, shape: tuple[int, int]) -> torch.Tensor | None:
    """Return prototypes that were kept, or None where there are none that can be read."""
    try:
        found = safetensors.torch.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError):
        return None
    prototypes = found.get("prototypes")
    return prototypes if prototypes is not None and tuple(prototypes.shape) == shape else None


def _keep(cache: Path, key: str, prototypes: torch.Tensor) -> None:
    """Write prototypes beside their name, then rename; a folder that cannot be written is no reason to fail."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".partial", delete=False) as file:
            file.write(safetensors.torch.save({"prototypes": prototypes}))
        os.replace(file.name, cache / f"{key}.safetensors")
    except OSError:
        return
