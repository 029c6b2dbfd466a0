"""A lane on an accelerator: a few buffers in a ring for each worker, through which pieces go to the device and back.

    a file ──read──▶ a buffer of the ring ──sent──▶ device: merged ──fetched──▶ a buffer ──written──▶ a file

Each worker reads ahead into its next buffer while the one before is sent, and waits only for the event behind the copy
whose buffer it needs again. Workers share one queue of computations, so that what one has made is there for all others;
while the device works for one of them, the others read and write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch

from merging_core.engines.lanes import Reads

__all__ = ["Driver", "Event", "Plain", "Ring"]

BUFFERS = 3
"""Of each worker, for what is read: one is filled, one is sent, one is waited for."""


class Event(Protocol):
    """The end of a copy."""

    def synchronize(self) -> None:
        """Wait until the copy is done."""


class Driver(Protocol):
    """What a ring asks of a device."""

    @property
    def device(self) -> torch.device:
        """Where computations take place."""

    def memory(self, size: int) -> torch.Tensor:
        """Return so many bytes of the CPU's memory from which the device can copy while programs go on."""

    def computing(self) -> AbstractContextManager[object]:
        """Return a context whose computations go into the one queue of the device."""

    def send(self, piece: torch.Tensor) -> tuple[torch.Tensor, Event]:
        """Begin to copy to the device; computations that are queued from now on come after the copy."""

    def fetch(self, made: torch.Tensor) -> tuple[torch.Tensor, Event]:
        """Begin to copy from the device, after what is queued; both tensors are kept until the event."""

    def exhausted(self, error: RuntimeError) -> bool:
        """Say whether an error means that the device's memory did not suffice."""

    def relieve(self) -> None:
        """Give back memory of the device that is held for later."""


class Ring:
    """Sends what workers read to a device, and fetches what is made of it.

    `piece` elements of each model are best read at once; a buffer has room for so many of `item` bytes.
    """

    def __init__(self, driver: Driver, piece: int, *, item: int = 4, workers: int = 4) -> None:
        self._driver = driver
        self._room = piece * item
        self._own = _Own()
        self.piece: int | None = piece
        self.workers: int | None = workers

    @property
    def device(self) -> torch.device:
        """The driver's device."""
        return self._driver.device

    @contextmanager
    def working(self) -> Iterator[None]:
        """Queue what is computed inside on the device; at the end say what was found not to be finite."""
        doubts = self._own.doubts
        with self._driver.computing():
            try:
                yield
                self.give()
            finally:
                doubts.clear()

    def take(self, read: Reads, *, check: bool) -> torch.Tensor:
        """Read a piece and begin to send it; whether it is finite is found on the device."""
        host = read(check=False, room=self._next)
        if check and host.dtype is torch.float64:
            host, check = read(check=True), False
        there = self._sent(host)
        if check and there.is_floating_point() and there.numel():
            wide = there if there.element_size() > 1 else there.to(torch.float32)
            self._own.doubts.append((torch.isfinite(wide).all(), lambda: read(check=True)))
        return there

    def give(self, *made: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Fetch what was made, wait for it, and raise NonFiniteError if any of what it was made of was not finite."""
        doubts = tuple(self._own.doubts)
        self._own.doubts.clear()
        wanted = (*made, torch.stack([finite for finite, _ in doubts])) if doubts else made
        fetched = [self._driver.fetch(one) for one in wanted]
        for _, event in fetched:
            event.synchronize()
        if doubts:
            for finite, (_, look) in zip(fetched[-1][0].tolist(), doubts, strict=True):
                if not finite:
                    look()
        return tuple(host for host, _ in fetched[: len(made)])

    def exhausted(self, error: RuntimeError) -> bool:
        """Say what the driver says."""
        return self._driver.exhausted(error)

    def relieve(self) -> None:
        """Give back what is held, but for the buffers."""
        self._driver.relieve()

    def _next(self, size: int) -> torch.Tensor | None:
        """Return this thread's next buffer, once it has been sent; None where so much does not fit."""
        if size > self._room:
            return None
        own = self._own
        own.at = (own.at + 1) % BUFFERS
        if len(own.buffers) <= own.at:
            own.buffers.append(self._driver.memory(self._room))
            own.events.append(None)
        event = own.events[own.at]
        if event is not None:
            event.synchronize()
            own.events[own.at] = None
        return own.buffers[own.at][:size]

    def _sent(self, host: torch.Tensor) -> torch.Tensor:
        """Send a piece from the buffer that it was read into, or through buffers where it lies elsewhere."""
        own = self._own
        if own.buffers and _shares(host, own.buffers[own.at]):
            return self._send(host)
        step = max(1, self._room // max(1, host.element_size()))
        parts = []
        for start in range(0, host.numel(), step):
            part = host[start : start + step]
            buffer = self._next(part.numel() * part.element_size())
            if buffer is None:
                raise ValueError("a buffer has room for one element")
            parts.append(self._send(buffer.view(part.dtype).copy_(part)))
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts) if parts else torch.empty(0, dtype=host.dtype, device=self.device)

    def _send(self, piece: torch.Tensor) -> torch.Tensor:
        there, event = self._driver.send(piece)
        self._own.events[self._own.at] = event
        return there


class _Own(threading.local):
    """What one thread has of a ring."""

    def __init__(self) -> None:
        self.buffers: list[torch.Tensor] = []
        self.events: list[Event | None] = []
        """The end of what was sent last from each buffer, until somebody waited for it."""
        self.at = -1
        """The buffer that was filled last."""
        self.doubts: list[tuple[torch.Tensor, Callable[[], object]]] = []
        """Whether what was sent is finite, where nobody knows yet, and how to look at it again."""


class Plain:
    """A device whose copies are done when they return: Apple's MPS, or a CPU in its place."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    @property
    def device(self) -> torch.device:
        """Where computations take place."""
        return self._device

    def memory(self, size: int) -> torch.Tensor:
        """Return plain memory."""
        return torch.empty(size, dtype=torch.uint8)

    def computing(self) -> AbstractContextManager[object]:
        """Return a context that does nothing."""
        return nullcontext()

    def send(self, piece: torch.Tensor) -> tuple[torch.Tensor, Event]:
        """Copy to the device."""
        return piece.to(self._device, copy=True), _Past()

    def fetch(self, made: torch.Tensor) -> tuple[torch.Tensor, Event]:
        """Copy from the device."""
        return made.cpu(), _Past()

    def exhausted(self, error: RuntimeError) -> bool:
        """Say whether torch or the device names its memory."""
        return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)

    def relieve(self) -> None:
        """Give back what the device holds for later."""
        if self._device.type == "mps":
            torch.mps.empty_cache()


class _Past:
    """The end of a copy that is done."""

    def synchronize(self) -> None:
        """Return at once."""


def _shares(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
