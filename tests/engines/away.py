"""A device that is not there: tensors that lie on the CPU and say that they do not.

Whatever mixes them with tensors of the CPU fails as it would on CUDA, and so does numpy; so code that takes another
device for the CPU fails here, on any machine. The driver of such a device writes down what it is asked for, in order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from merging_core.engines.ring import Event

AWAY = torch.device("cuda", 0)
_MOVES = {torch.Tensor.copy_, torch.Tensor.__setitem__}
_JOINS = {torch.stack, torch.cat}


class Away(torch.Tensor):
    """A tensor that says it is on the device."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return carried_out(func, args, kwargs or {})


class Pretending(TorchFunctionMode):
    """Makes new tensors for the device where they are asked for."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return carried_out(func, args, kwargs or {})


def carried_out(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Do on the CPU what was asked of the device."""
    if func is torch.device:
        return func(*args, **kwargs)
    given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    away = any(isinstance(one, Away) for one in given)
    asked = [one for one in tree_leaves((args[1:], kwargs)) if isinstance(one, torch.device)]
    asked += [torch.device(one) for one in tree_leaves((args[1:], kwargs)) if one in ("cpu", "cuda")]
    with torch._C.DisableTorchFunctionSubclass(), torch._C.DisableTorchFunction():
        if away and func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
            return AWAY
        if away and func in (torch.Tensor.numpy, torch.Tensor.data_ptr):
            raise TypeError("can't convert a tensor of the device to numpy")
        mixed = [one for one in given if not isinstance(one, Away) and (one.dim() or func in _JOINS)]
        moves = func in _MOVES or func is torch.Tensor.to or func is torch.Tensor.__getitem__
        if away and mixed and not moves:
            raise RuntimeError(f"expected all tensors to be on the same device in {func}")
        found = func(*tree_map(_plain, args), **tree_map(_plain, kwargs))
    if func is torch.Tensor.cpu:
        return found
    there = asked[-1].type != "cpu" if asked else (_first_is_away(args) if func in _MOVES else away)
    return (
        tree_map(lambda one: one.as_subclass(Away) if isinstance(one, torch.Tensor) else one, found) if there else found
    )


def _first_is_away(args: Any) -> bool:
    return isinstance(args[0], Away)


def _plain(one: Any) -> Any:
    if isinstance(one, Away):
        return one.as_subclass(torch.Tensor)
    return torch.device("cpu") if isinstance(one, torch.device) and one.type == "cuda" else one


class AwayDriver:
    """A device whose copies are done when somebody waits for them, and which may be short of memory."""

    def __init__(self, most: int = 1 << 40) -> None:
        self.most = most
        """Bytes of a piece that it has memory for."""
        self.log: list[str] = []
        self._lock = threading.Lock()

    @property
    def device(self) -> torch.device:
        return AWAY

    def memory(self, size: int) -> torch.Tensor:
        self._note("memory")
        return torch.empty(size, dtype=torch.uint8)

    @contextmanager
    def computing(self) -> Iterator[None]:
        with Pretending():
            yield

    def send(self, piece: torch.Tensor) -> tuple[torch.Tensor, Event]:
        if piece.numel() * piece.element_size() > self.most:
            self._note("short of memory")
            raise torch.OutOfMemoryError("the device has no memory for it")
        self._note("send")
        there = piece.as_subclass(torch.Tensor).clone().as_subclass(Away)
        return there, Spoiling(self, piece)

    def fetch(self, made: torch.Tensor) -> tuple[torch.Tensor, Event]:
        assert isinstance(made, Away)
        self._note("fetch")
        host = torch.empty(made.shape, dtype=made.dtype)
        return host, Arriving(self, host, made)

    def exhausted(self, error: RuntimeError) -> bool:
        return isinstance(error, torch.OutOfMemoryError)

    def relieve(self) -> None:
        self._note("relieve")

    def _note(self, what: str) -> None:
        with self._lock:
            self.log.append(what)


class Spoiling:
    """The end of what was sent: afterwards the buffer may hold anything."""

    def __init__(self, driver: AwayDriver, piece: torch.Tensor) -> None:
        self._driver, self._piece = driver, piece

    def synchronize(self) -> None:
        self._driver._note("sent")
        self._piece.view(torch.uint8).fill_(0xFF)


class Arriving:
    """The end of what is fetched: before, nothing is there."""

    def __init__(self, driver: AwayDriver, host: torch.Tensor, made: torch.Tensor) -> None:
        self._driver, self._host, self._made = driver, host, made

    def synchronize(self) -> None:
        self._driver._note("fetched")
        self._host.copy_(self._made.as_subclass(torch.Tensor))
