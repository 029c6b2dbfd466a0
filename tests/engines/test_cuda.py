"""What is asked of CUDA, in which order: copies wait for what they need, and nothing waits for the whole device."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import make_plan, stream_merge
from merging_core.engines.cuda import Cuda
from merging_core.engines.ring import Event, Ring
from tests.engines.away import AWAY, Away, AwayDriver, Pretending
from tests.engines.world import WIDE, family


class Stream:
    """A queue of the device that says what it is asked."""

    def __init__(self, device: torch.device) -> None:
        self.name = ("up", "compute", "down")[len(LOG.streams)]
        LOG.streams.append(self)

    def wait_event(self, event: CudaEvent) -> None:
        LOG.lines.append(f"{self.name} waits for {event.of}")

    def record_event(self) -> CudaEvent:
        event = CudaEvent()
        event.record(self)
        return event


class CudaEvent:
    """A mark in a queue."""

    def __init__(self, blocking: bool = False) -> None:
        self.of = ""

    def record(self, stream: Stream) -> None:
        self.of = stream.name

    def synchronize(self) -> None:
        LOG.lines.append(f"the program waits for {self.of}")


class Log:
    """What was asked, in order."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.lines: list[str] = []


LOG = Log()


@contextmanager
def stream(chosen: Stream) -> Iterator[None]:
    with Pretending():
        yield


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    LOG.__init__()  # type: ignore[misc]
    for name, stand_in in {"Stream": Stream, "Event": CudaEvent, "stream": stream}.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: LOG.lines.append("relieved"))

    def empty(*shape: Any, pin_memory: bool = False, **how: Any) -> torch.Tensor:
        return made(*shape, **how)

    made = torch.empty
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(Away, "record_stream", lambda self, used_by: LOG.lines.append(f"kept for {used_by.name}"))
    return Cuda(AWAY)


def test_what_is_sent_is_waited_for_by_computations_alone_and_kept_until_they_are_through(cuda: Cuda) -> None:
    there, sent = cuda.send(torch.arange(3.0))
    assert isinstance(there, Away) and there.cpu().tolist() == [0.0, 1.0, 2.0]
    assert LOG.lines == ["compute waits for up", "kept for compute"]
    sent.synchronize()
    assert LOG.lines[-1] == "the program waits for up"


def test_what_is_fetched_waits_for_what_is_computed_and_the_program_for_the_copy(cuda: Cuda) -> None:
    with cuda.computing():
        there, _ = cuda.send(torch.ones(2))
        LOG.lines.clear()
        host, fetched = cuda.fetch(there + there)
    assert LOG.lines == ["down waits for compute"]
    fetched.synchronize()
    assert LOG.lines[-1] == "the program waits for down"
    assert not isinstance(host, Away) and host.tolist() == [2.0, 2.0]


def test_only_a_lack_of_memory_is_one(cuda: Cuda) -> None:
    assert cuda.exhausted(torch.OutOfMemoryError("out")) and not cuda.exhausted(RuntimeError("out of memory, says one"))
    cuda.relieve()
    assert LOG.lines == ["relieved"] and cuda.memory(5).numel() == 5


def test_a_merge_through_cudas_queues_has_the_bytes_of_the_cpu(cuda: Cuda, tmp_path: Path, catalog: Catalog) -> None:
    made = family(tmp_path / "made", shapes=WIDE)
    plan = make_plan(made.recipe("ties"), catalog)
    stream_merge(plan, catalog, tmp_path / "away", lane=Ring(cuda, 50_000, workers=2))
    stream_merge(plan, catalog, tmp_path / "here")
    weights = "model.safetensors"
    assert (tmp_path / "away" / weights).read_bytes() == (tmp_path / "here" / weights).read_bytes()
    assert "the program waits for down" in LOG.lines


class Busy(AwayDriver):
    """A device whose first result comes only when another worker has sent a piece meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.first: int | None = None
        self.another = threading.Event()
        self.came: bool | None = None

    def send(self, piece: torch.Tensor) -> tuple[torch.Tensor, Event]:
        if self.first not in (None, threading.get_ident()):
            self.another.set()
        return super().send(piece)

    def fetch(self, made: torch.Tensor) -> tuple[torch.Tensor, Event]:
        with self._lock:
            mine = self.first is None and made.numel() > 2
            self.first = threading.get_ident() if mine else self.first
        if mine:
            self.came = self.another.wait(60)
        return super().fetch(made)


def test_others_read_and_send_while_the_device_works_for_one(tmp_path: Path, catalog: Catalog) -> None:
    made = family(tmp_path / "made", shapes=WIDE)
    plan = make_plan(made.recipe("linear"), catalog)
    driver = Busy()
    stream_merge(plan, catalog, tmp_path / "out", lane=Ring(driver, 10_000, workers=2))
    assert driver.came
