"""The work of a task job, in its own process: get the data, decode and divide them, compute the head, write it down.

Strangers' parquet and pictures are opened here and nowhere else: whatever they break is this process.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.tasks.budget import check_room, make_room
from app.tasks.prepared import AnyPrepared, bytes_of, is_prepared, write_prepared
from app.tasks.sizes import Size, examples_of
from app.tasks.spec import TaskSpec, data_name, parse_spec
from app.worker import Reporter
from merging_core.errors import EvaluationError, Problem

if TYPE_CHECKING:
    from merging_core.checkpoints import Catalog, Checkpoint
    from merging_core.hub.client import Hub

__all__ = ["NAME", "prepare"]

NAME = "app.tasks.work:prepare"
"""How a job names this work."""
_DOWNLOADED, _DECODED = 0.6, 0.95
"""Which share of one task's work is done when its data are here, and when they are decoded."""


def prepare(payload: dict[str, Any], folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Prepare the tasks of `payload["specs"]` one after the other, below `payload["root"]`.

    The payload is what `app.tasks.service` puts together; the visitor's token is the reporter's secret.
    Raises whatever is wrong with data, head or network, and CancelledError.
    """
    import torch

    torch.set_num_threads(1)
    specs = [parse_spec(one) for one in payload["specs"]]
    bench = _Bench(payload, specs, folder, reporter)
    for place, spec in enumerate(specs):
        begun = time.monotonic()
        bench.span = (place / len(specs), 1 / len(specs))
        if is_prepared(bench.root, spec):
            reporter.log(f"{spec.title}: prepared already")
            continue
        task = bench.made(spec)
        bench.tidy(spec)
        make_room(bench.root, bytes_of(task), bench.budget, bench.keep)
        write_prepared(bench.root, spec, task)
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in task.splits.items())
        reporter.log(f"{spec.title}: {sizes}; {task.description} {time.monotonic() - begun:.1f} s")
    return {"name": ", ".join(spec.title for spec in specs), "specs": [spec.as_json() for spec in specs]}


class _Bench:
    """What the preparation of several tasks shares."""

    def __init__(self, payload: dict[str, Any], specs: list[TaskSpec], folder: Path, reporter: Reporter) -> None:
        from merging_core.checkpoints import Catalog
        from merging_core.checkpoints.local import LocalFolders
        from merging_core.checkpoints.uploads import UploadedCheckpoints
        from merging_core.checkpoints.zoo import load_zoo
        from merging_core.hub.client import Hub

        self.root = Path(payload["root"])
        self.budget: int = payload["budget"]
        self.reporter = reporter
        self.span = (0.0, 1.0)
        self.keep = frozenset(spec.digest for spec in specs)
        self._data = Path(payload["data"]) if payload["data"] else None
        self._folder = folder
        self._uploaded: dict[str, str] = payload["uploaded"]
        given, models, uploads = payload["hub"], payload["models"], payload["uploads"]
        self.hub: Hub | None = None
        if given is not None:
            limits: dict[str, Any] = {"largest": given["largest"], "budget": given["budget"]}
            self.hub = Hub(given["endpoint"], reporter.secret, Path(given["cache"]), **limits)
        self.catalog: Catalog = Catalog(
            load_zoo(Path(payload["zoo"])),
            local=LocalFolders(Path(models)) if models else None,
            hub=self.hub,
            uploads=UploadedCheckpoints(Path(uploads)) if uploads else None,
        )

    def made(self, spec: TaskSpec) -> AnyPrepared:
        """Return the task of a specification."""
        source, shards = self._source(spec)
        model = self._model(spec)
        return (
            _pictures(spec, source, shards, model, self)
            if spec.kind == "pictures"
            else _texts(spec, source, shards, model)
        )

    def tell(self, share: float, what: str, done: int = 0) -> None:
        """Tell how far the present task is."""
        start, width = self.span
        self.reporter.progress(start + width * share, what, done)

    def tidy(self, spec: TaskSpec) -> None:
        """Delete the shards of a data set that was prepared: what is kept of it is the prepared task."""
        if spec.source.startswith("hub:") and self.hub is not None:
            from merging_core.hub.data_ref import data_ref
            from merging_core.hub.data_sets import DataSets

            shutil.rmtree(DataSets(self.hub).folder(data_ref(spec.source)), ignore_errors=True)

    def _source(self, spec: TaskSpec) -> tuple[Path, dict[str, list[Path]] | None]:
        """Return where the data lie, and their shards by split where these are known."""
        if spec.source.startswith("hub:"):
            return self._downloaded(spec)
        if spec.source in self._uploaded:
            return Path(self._uploaded[spec.source]), None
        from app.tasks.local import local_data

        if self._data is None or not spec.source.startswith("local:"):
            must, fix = "the data of the task can be read on this server", "choose other data"
            raise EvaluationError(Problem(must, "another server's", spec.title, fix))
        return local_data(self._data, spec.source.removeprefix("local:")), None

    def _downloaded(self, spec: TaskSpec) -> tuple[Path, dict[str, list[Path]]]:
        from app.tasks.roles import roles_of
        from merging_core.hub.data_ref import data_ref
        from merging_core.hub.data_sets import DataSets

        if self.hub is None:
            must, fix = "this server reads data of the Hub", "choose other data"
            raise EvaluationError(Problem(must, "a server that does not", spec.title, fix))
        sets = DataSets(self.hub)
        found = sets.list(data_ref(spec.source))
        roles = roles_of(found.of(spec.config), dict(spec.splits), spec.title)
        files = [file for shards in roles.values() for file in shards]
        total = max(1, sum(file.size or 0 for file in files))

        def tell(done: int, what: str) -> None:
            self.tell(_DOWNLOADED * min(1.0, done / total), what, done)

        folder = sets.download(found.ref, files, tell, self.reporter.cancelled)
        return folder, {role: [folder / file.name for file in shards] for role, shards in roles.items()}

    def _model(self, spec: TaskSpec) -> Checkpoint:
        if self.catalog.missing_bytes([spec.model]):
            self.catalog.fetch(
                [spec.model],
                progress=lambda share, what: self.tell(_DOWNLOADED, what),
                cancelled=self.reporter.cancelled,
            )
        return self.catalog.open(spec.model)


def _pictures(
    spec: TaskSpec, source: Path, shards: dict[str, list[Path]] | None, model: Checkpoint, bench: _Bench
) -> AnyPrepared:
    from app.tasks.local import open_pictures
    from merging_core.evaluation.heads import Head
    from merging_core.evaluation.picture_tasks import picture_task
    from merging_core.evaluation.preprocessing import read_preprocessing
    from merging_core.evaluation.prompt_templates import templates_for
    from merging_core.evaluation.text_tasks import own_head
    from merging_core.evaluation.zero_shot import zero_shot_head

    classes = spec.classes or None
    found = open_pictures(source, shards, image=spec.input, label=spec.label, classes=classes)
    templates, words = templates_for(data_name(spec.source))
    if spec.templates:
        templates, words = spec.templates, f"{len(spec.templates)} prompts a class, given by the task."
    bench.tell(_DOWNLOADED, f"{spec.title}: computing the head")
    if spec.head == "zero_shot":
        cancelled = bench.reporter.cancelled
        head: Head = zero_shot_head(model, found.classes, templates, cache=bench.root / "heads", cancelled=cancelled)
    else:
        weights = {name: model.read(name) for name in model.leaves}
        head = own_head(model.config, weights, "picture classes", len(found.classes))
        words = f"The classifier of {model.label}."
    preprocessing = read_preprocessing(model.folder)
    size = Size(
        examples_of({name: len(one.labels) for name, one in found.splits.items()}, spec.at_most), preprocessing.side
    )
    check_room(bench.root, size.bytes, bench.budget, bench.keep, size.words)

    def progress(done: int, of: int) -> None:
        share = _DOWNLOADED + (_DECODED - _DOWNLOADED) * done / of
        bench.tell(share, f"{spec.title}: decoding pictures, {done:,} of {of:,}")

    limits = dict.fromkeys(("train", "calibration", "validation", "test"), spec.at_most)
    task = picture_task(
        found, preprocessing, head, seed=spec.seed, at_most=limits, name=spec.name,
        title=spec.title, progress=progress, cancelled=bench.reporter.cancelled,
    )  # fmt: skip
    return _described(task, spec, words)


def _texts(spec: TaskSpec, source: Path, shards: dict[str, list[Path]] | None, model: Checkpoint) -> AnyPrepared:
    from app.tasks.local import limited
    from merging_core.evaluation.sources.texts import open_texts
    from merging_core.evaluation.text_tasks import own_head, text_classification
    from merging_core.evaluation.tokenizing import read_tokenizer

    found = open_texts(
        source, shards=shards, text=spec.input, second=spec.second, label=spec.label, classes=spec.classes or None
    )
    weights = {name: model.read(name) for name in model.leaves}
    head = own_head(model.config, weights, "text classes", len(found.classes))
    texts, cut = limited(found.splits, spec.at_most, spec.text)
    task = text_classification(
        spec.name, found.classes, texts, read_tokenizer(model.folder), head, seed=spec.seed, title=spec.title
    )
    return _described(task, spec, f"{cut} The classifier of {model.label}.".strip())


def _described(task: Any, spec: TaskSpec, words: str) -> AnyPrepared:
    from dataclasses import replace

    described: AnyPrepared = replace(
        task, source=spec.source.partition("@")[0], description=f"{task.description} {words}".strip()
    )
    return described
