"""Prepared tasks on the disk: examples decoded once, the head computed once, in one folder named by the specification.

A folder holds `task.json` and `task.safetensors`. It is written beside its name and renamed, so that it is whole or not
there; only this program writes it, and nothing in it is anybody's own file any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from app.tasks.spec import NAME_START, TaskSpec, parse_spec
from merging_core.checkpoints.config import read_json_object
from merging_core.errors import BasinError, CheckpointError, EvaluationError, Problem
from merging_core.evaluation.heads import Head, OwnHead, PrototypeHead
from merging_core.evaluation.tasks import Split, Task
from merging_core.evaluation.text_tasks import TextClassification, TextSplit

__all__ = [
    "AnyPrepared",
    "bytes_of",
    "fingerprint",
    "is_prepared",
    "load_prepared",
    "made_of",
    "spec_named",
    "write_prepared",
]

AnyPrepared = Task | TextClassification

_FORMAT = 1
_JSON, _TENSORS = "task.json", "task.safetensors"
_DIGITS = 16


def write_prepared(root: Path, spec: TaskSpec, task: AnyPrepared) -> Path:
    """Write a task into the folder of its specification below `root`, and return that folder; one there already stays.

    Raises EvaluationError where the disk does not take it.
    """
    folder = root / spec.digest
    aside = root / f".{spec.digest[:16]}-{secrets.token_hex(4)}"
    try:
        aside.mkdir(parents=True)
        save_file(_tensors(task), aside / _TENSORS)
        with (aside / _TENSORS).open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
            os.fsync(written.fileno())
        with (aside / _JSON).open("w", encoding="utf-8") as file:
            json.dump({**_description(task), "format": _FORMAT, "spec": spec.text, "sha256": digest}, file)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError, OSError):
            aside.rename(folder)
        if not is_prepared(root, spec):
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    except OSError as error:
        must, got = "the folder of prepared tasks can be written", f"“{error.strerror or type(error).__name__}”"
        raise EvaluationError(Problem(must, got, spec.title, "make room and try again")) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def bytes_of(task: AnyPrepared) -> int:
    """Return about how many bytes a task takes when it is written."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(task).values())


def spec_named(root: Path, name: str) -> TaskSpec:
    """Return what a task that is prepared here is made of, by its name. Raises: EvaluationError where there is none."""
    digits = name.removeprefix(NAME_START)
    if len(digits) == _DIGITS and set(digits) <= set("0123456789abcdef"):
        for folder in root.glob(f"{digits}*"):
            try:
                spec = parse_spec(json.loads(read_json_object(folder / _JSON)["spec"]))
            except (BasinError, OSError, KeyError, TypeError, ValueError):
                continue
            if spec.name == name and is_prepared(root, spec):
                return spec
    must, fix = "a task that is named alone is prepared here", "prepare it under Choose models"
    raise EvaluationError(Problem(must, ascii(name[:40])[1:-1], "tasks", fix))


def made_of(root: Path, upload: str) -> tuple[TaskSpec, ...]:
    """Return what those tasks here are made of whose data or head come from an upload, `upload:` and its address."""
    found = []
    for path in root.glob(f"*/{_JSON}"):
        try:
            spec = parse_spec(json.loads(read_json_object(path)["spec"]))
        except (BasinError, OSError, KeyError, TypeError, ValueError):
            continue
        if upload in spec.uploads:
            found.append(spec)
    return tuple(found)


def is_prepared(root: Path, spec: TaskSpec) -> bool:
    """Say whether the folder of a specification is there, whole and of today's form."""
    return fingerprint(root, spec) is not None


def fingerprint(root: Path, spec: TaskSpec) -> str | None:
    """Return the sha256 of a prepared task's tensors, or None where it is not prepared."""
    try:
        info = read_json_object(root / spec.digest / _JSON)
    except (CheckpointError, OSError):
        return None
    whole = info.get("format") == _FORMAT and info.get("spec") == spec.text
    return str(info["sha256"]) if whole and (root / spec.digest / _TENSORS).is_file() else None


def load_prepared(root: Path, spec: TaskSpec) -> AnyPrepared:
    """Read a prepared task. Raises EvaluationError where it is not prepared, or where its files were changed."""
    try:
        info = read_json_object(root / spec.digest / _JSON)
        tensors = load_file(root / spec.digest / _TENSORS)
        return _task(info, tensors)
    except (CheckpointError, OSError, SafetensorError, KeyError, TypeError, ValueError):
        must, fix = "a task is prepared before it measures", "prepare it under Choose models"
        if spec.uploads:
            fix = "upload what it is made of again, and prepare it under Choose models"
        raise EvaluationError(Problem(must, "one that is not prepared here", spec.title, fix)) from None


def _description(task: AnyPrepared) -> dict[str, Any]:
    head: dict[str, Any] = {"kind": "own", "leaves": list(task.head.leaves)} if isinstance(task.head, OwnHead) else {}
    if isinstance(task.head, PrototypeHead):
        head = {"kind": "prototype", "scale": task.head.scale}
    common = {
        "name": task.name, "title": task.title, "description": task.description, "classes": list(task.classes),
        "licence": task.licence, "source": task.source, "splits": list(task.splits), "head": head,
        "kind": "pictures" if isinstance(task, Task) else "texts",
    }  # fmt: skip
    if not isinstance(task, Task):
        return common
    return {
        **common, "image_size": task.image_size, "channels": task.channels, "mean": task.mean, "std": task.std,
        "rescale": task.rescale,
    }  # fmt: skip


def _tensors(task: AnyPrepared) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, split in task.splits.items():
        found[f"inputs.{name}"] = split.images if isinstance(split, Split) else split.tokens
        if split.labels is not None:
            found[f"labels.{name}"] = split.labels
    if isinstance(task.head, PrototypeHead):
        found["prototypes"] = task.head.prototypes
        if task.head.projection is not None:
            found["projection"] = task.head.projection
    else:
        found |= {f"head.{number}": leaf for number, leaf in enumerate(task.head.leaves.values())}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _task(info: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> AnyPrepared:
    name, classes, row = info["name"], tuple(info["classes"]), info["head"]
    about = {key: info[key] for key in ("title", "description", "licence", "source")}
    if row["kind"] == "own":
        own = OwnHead({leaf: tensors[f"head.{number}"] for number, leaf in enumerate(row["leaves"])})
        head: Head = own
    else:
        own = OwnHead()
        head = PrototypeHead(tensors["prototypes"], float(row["scale"]), tensors.get("projection"))
    parts = {split: (tensors[f"inputs.{split}"], tensors.get(f"labels.{split}")) for split in info["splits"]}
    if info["kind"] == "texts":
        texts = {split: TextSplit(rows, labels, f"{name} {split}") for split, (rows, labels) in parts.items()}
        return TextClassification(name=name, classes=classes, head=own, splits=texts, **about)
    return Task(
        name=name, classes=classes, image_size=int(info["image_size"]), channels=int(info["channels"]),
        mean=_numbers(info["mean"]), std=_numbers(info["std"]), head=head, rescale=float(info["rescale"]),
        splits={split: Split(rows, labels, f"{name} {split}") for split, (rows, labels) in parts.items()}, **about,
    )  # fmt: skip


def _numbers(value: Any) -> float | tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list) else float(value)
