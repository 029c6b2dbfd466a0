"""CUDA as a ring drives it: pinned memory, a stream for each direction, events in place of waiting for the device."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from merging_core.engines.ring import Event

__all__ = ["Cuda"]


class Cuda:
    """One CUDA device with three queues: what is sent, what is computed, what is fetched."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._up, self._compute, self._down = (torch.cuda.Stream(device) for _ in range(3))  # type: ignore[no-untyped-call]

    @property
    def device(self) -> torch.device:
        """The device."""
        return self._device

    def memory(self, size: int) -> torch.Tensor:
        """Return pinned memory."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def computing(self) -> AbstractContextManager[object]:
        """Return the stream on which every worker computes."""
        return torch.cuda.stream(self._compute)

    def send(self, piece: torch.Tensor) -> tuple[torch.Tensor, Event]:
        """Begin to copy from pinned memory."""
        with torch.cuda.stream(self._up):
            there = torch.empty_like(piece, device=self._device)
            there.copy_(piece, non_blocking=True)
            sent = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            sent.record(self._up)
        self._compute.wait_event(sent)
        # The memory belongs to the stream that sends: it is not used again before the computations are through.
        there.record_stream(self._compute)
        return there, sent

    def fetch(self, made: torch.Tensor) -> tuple[torch.Tensor, Event]:
        """Begin to copy into pinned memory, of which torch keeps what was used before."""
        self._down.wait_event(self._compute.record_event())
        with torch.cuda.stream(self._down):
            host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
            host.copy_(made, non_blocking=True)
            fetched = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            fetched.record(self._down)
        return host, fetched

    def exhausted(self, error: RuntimeError) -> bool:
        """Say whether the allocator found no memory."""
        return isinstance(error, torch.OutOfMemoryError)

    def relieve(self) -> None:
        """Give the allocator's free blocks back, so that other sizes find room."""
        torch.cuda.empty_cache()
