"""The embedded zoo: what its manifest lists, where its files lie, and whether they are what the manifest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from merging_core.errors import CheckpointError, Problem, closest

__all__ = ["Accuracy", "Zoo", "ZooCheckpoint", "ZooFamily", "ZooFile", "embedded_zoo_root", "load_zoo"]

MANIFEST = "manifest.json"
VERSION = 1


@dataclass(frozen=True)
class ZooCheckpoint:
    """One checkpoint of the zoo, as the manifest lists it."""

    path: str
    """Its name in a reference, which is also its folder under the zoo: `tiny/digits`."""
    content: str
    """Content digest, 64 hex digits."""
    title: str
    family: str
    role: Literal["base", "expert"]
    parameters: int
    """The number of scalars."""
    description: str


@dataclass(frozen=True)
class ZooFamily:
    """A base, experts that share its parameter space, and the tasks they are scored on."""

    name: str
    title: str
    description: str
    base: str
    """A reference: `zoo:tiny/base`."""
    experts: tuple[str, ...]
    tasks: tuple[str, ...]
    expert_task: Mapping[str, str]
    """Which task an expert was fine-tuned on, by its reference."""


@dataclass(frozen=True)
class ZooFile:
    """One file of the zoo."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Accuracy:
    """An accuracy in [0, 1] on n examples, as measured when the zoo was built."""

    accuracy: float
    n: int


@dataclass(frozen=True)
class Zoo:
    """The zoo: families, checkpoints by path, files by path, and the accuracies measured when it was built."""

    root: Path
    families: tuple[ZooFamily, ...]
    checkpoints: Mapping[str, ZooCheckpoint]
    files: Mapping[str, ZooFile]
    accuracies: Mapping[str, Mapping[str, Mapping[str, Accuracy]]]
    """checkpoint path -> task -> split -> accuracy"""

    def checkpoint(self, path: str) -> ZooCheckpoint:
        """Return what the manifest says of a checkpoint; raises CheckpointError with the closest name."""
        if path not in self.checkpoints:
            raise CheckpointError(Problem("the zoo holds the checkpoint", path, "zoo", closest(path, self.checkpoints)))
        return self.checkpoints[path]

    def folder(self, path: str) -> Path:
        """Return the folder of a checkpoint such as `tiny/digits`; raises CheckpointError with the closest name."""
        return self.root / self.checkpoint(path).path

    def content(self, path: str) -> str:
        """Return the content digest of a checkpoint; raises CheckpointError with the closest name."""
        return self.checkpoint(path).content

    def task_folder(self, name: str) -> Path:
        """Return the folder of a task such as `tiny/digits`; raises CheckpointError with the closest name."""
        known = [task for family in self.families for task in family.tasks]
        if name not in known:
            raise CheckpointError(Problem("the zoo holds the task", name, "zoo", closest(name, known)))
        return self.root / "tasks" / name

    def family(self, name: str) -> ZooFamily:
        """Return a family by name; raises CheckpointError with the closest name."""
        for family in self.families:
            if family.name == name:
                return family
        known = [family.name for family in self.families]
        raise CheckpointError(Problem("the zoo holds the family", name, "zoo", closest(name, known)))

    def verify(self) -> tuple[Problem, ...]:
        """Read every file and return all that is not as the manifest says: nothing, if the zoo is whole."""
        broken = tuple(self._file_problems())
        named = {problem.where for problem in broken}
        sound = (path for path in self.checkpoints if f"{path}/model.safetensors" not in named)
        return broken + tuple(problem for path in sound for problem in self._content_problems(path))

    def as_json(self) -> dict[str, Any]:
        """Return families, checkpoints, accuracies and files as JSON values."""
        return {
            "root": str(self.root),
            "families": [
                asdict(family) | {"experts": list(family.experts), "tasks": list(family.tasks)}
                for family in self.families
            ],
            "checkpoints": {f"zoo:{path}": asdict(found) for path, found in self.checkpoints.items()},
            "accuracies": {
                f"zoo:{path}": {
                    task: {split: asdict(value) for split, value in splits.items()} for task, splits in tasks.items()
                }
                for path, tasks in self.accuracies.items()
            },
            "files": {path: asdict(file) for path, file in self.files.items()},
        }

    def _file_problems(self) -> Iterator[Problem]:
        """Yield missing, extra and changed files."""
        again = "restore assets/zoo from the repository, or run python -m assets.build"
        present = {file.relative_to(self.root).as_posix(): file for file in self.root.rglob("*") if not file.is_dir()}
        for path in sorted(set(self.files) - set(present)):
            yield Problem("a file of the manifest is there", "nothing", path, again)
        for path in sorted(set(present) - set(self.files) - {MANIFEST}):
            yield Problem("every file is in the manifest", "a file that is not", path, "remove it")
        for path in sorted(set(self.files) & set(present)):
            wanted, file = self.files[path], present[path]
            if file.is_symlink() or not file.is_file():
                yield Problem("a regular file is there", "a link or a special file", path, again)
            elif file.stat().st_size != wanted.bytes:
                got = f"{file.stat().st_size:,} bytes"
                yield Problem(f"the file has {wanted.bytes:,} bytes", got, path, again)
            elif (found := _file_digest(file)) != wanted.sha256:
                yield Problem(f"its sha256 begins with {wanted.sha256[:12]}", found[:12], path, again)

    def _content_problems(self, path: str) -> Iterator[Problem]:
        """Yield a problem if a checkpoint does not hold what its content digest says."""
        where = f"{path}/model.safetensors"
        if where not in self.files:
            yield Problem("a checkpoint has its weights in the manifest", "no such file", where, "rebuild the manifest")
            return
        found = _content_digest(self.root / where)
        if found != self.content(path):
            must = f"its content digest begins with {self.content(path)[:12]}"
            yield Problem(must, found[:12], where, "rebuild the manifest with python -m assets.build manifest")


def embedded_zoo_root() -> Path:
    """Return the zoo beside the package: `assets/zoo` of the checkout."""
    return Path(__file__).resolve().parents[2] / "assets" / "zoo"


def load_zoo(root: Path | None = None) -> Zoo:
    """Read a zoo's manifest (the embedded zoo's by default); the other files are not touched.

    Raises: CheckpointError if the manifest is missing, is not JSON, is of another version or lacks what it must say.
    """
    root = embedded_zoo_root() if root is None else root
    where = str(root / MANIFEST)
    fix = "restore assets/zoo from the repository, or run python -m assets.build"
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise CheckpointError(Problem("the zoo has a manifest", got, where, fix)) from None
    except ValueError:
        raise CheckpointError(Problem("the manifest is JSON", "something else", where, fix)) from None
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise CheckpointError(Problem(f"the manifest is of version {VERSION}", str(version), where, fix))
    try:
        return _parse(root, manifest)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"
        raise CheckpointError(Problem("the manifest says what a zoo must", got, where, fix)) from None


def _parse(root: Path, manifest: dict[str, Any]) -> Zoo:
    """Build the zoo from its manifest; raises KeyError, TypeError, AttributeError or ValueError if it is malformed."""
    families = tuple(
        ZooFamily(
            name=row["name"],
            title=row["title"],
            description=row["description"],
            base=row["base"],
            experts=tuple(row["experts"]),
            tasks=tuple(_inside(task) for task in row["tasks"]),
            expert_task=dict(row["expert_task"]),
        )
        for row in manifest["families"]
    )
    owner = {ref: family for family in families for ref in (family.base, *family.experts)}
    checkpoints = {}
    for ref, row in manifest["checkpoints"].items():
        family, path = owner[ref], _inside(row["path"])
        if ref != f"zoo:{path}":
            raise ValueError(f"{ref} lies at {path}")
        checkpoints[path] = ZooCheckpoint(
            path=path,
            content=row["content"],
            title=row["title"],
            family=family.name,
            role="base" if ref == family.base else "expert",
            parameters=int(row["parameters"]),
            description=row["description"],
        )
    if missing := sorted(owner.keys() - manifest["checkpoints"].keys()):
        raise ValueError(f"no checkpoint {', '.join(missing)}")
    files = {_inside(path): ZooFile(row["sha256"], int(row["bytes"])) for path, row in manifest["files"].items()}
    accuracies = {
        ref.removeprefix("zoo:"): {
            task: {split: Accuracy(float(value["accuracy"]), int(value["n"])) for split, value in splits.items()}
            for task, splits in tasks.items()
        }
        for ref, tasks in manifest["accuracies"].items()
    }
    return Zoo(root, families, checkpoints, files, accuracies)


def _inside(path: str) -> str:
    """Return a relative path unchanged; raises ValueError if it could lead out of the zoo."""
    if not path or "\\" in path or PurePosixPath(path).is_absolute() or {"..", "."} & set(path.split("/")):
        raise ValueError(f"the path {path!r} leads out of the zoo")
    return path


def _file_digest(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_digest(path: Path) -> str:
    """Return the content digest of a safetensors file whose sha256 has been checked.

    Written on its own, from the description of the format, so that it also checks the reader's.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        whole = hashlib.sha256()
        for name, leaf in sorted(header.items()):
            start, end = leaf["data_offsets"]
            file.seek(8 + length + start)
            whole.update(f"{name}\n{leaf['dtype']}\n{json.dumps(leaf['shape'])}\n".encode())
            whole.update(hashlib.sha256(file.read(end - start)).digest())
    return whole.hexdigest()
