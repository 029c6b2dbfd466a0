"""Named random streams: every draw of the build comes from a generator of its own."""

from __future__ import annotations

import hashlib

import numpy
import torch


def seed_of(seed: int, *names: str) -> int:
    """Return a 63-bit seed for the stream called `names`, independent of the order in which streams are opened.

    >>> seed_of(0, "data") == seed_of(0, "data"), seed_of(0, "data") == seed_of(0, "model")
    (True, False)
    """
    digest = hashlib.sha256("|".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def torch_stream(seed: int, *names: str) -> torch.Generator:
    """Return a CPU generator for the stream called `names`."""
    return torch.Generator().manual_seed(seed_of(seed, *names))


def numpy_stream(seed: int, *names: str) -> numpy.random.Generator:
    """Return a NumPy generator (PCG64) for the stream called `names`."""
    return numpy.random.Generator(numpy.random.PCG64(seed_of(seed, *names)))


def fix_execution(threads: int) -> None:
    """Make torch deterministic with a fixed number of threads; called once by the command line."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    """Draw float32 values in [low, high) of the given shape."""
    return torch.rand(shape, generator=generator) * (high - low) + low
