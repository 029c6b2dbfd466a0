"""Seeded coins that depend on nothing but their names.

Whether an element stays is a function of (seed, content of the expert, leaf, index). There is no generator with a
state: any piece can be computed alone, in any order, on any device, and gives the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["coin_hash", "coin_key", "coin_limit", "coins", "hash_on"]

_WORD = 0xFFFFFFFF
_BLOCK = 1 << 15
# The multipliers of lowbias32 as signed 32-bit numbers: a product with a number below 2³² then fits into int64.
_FIRST = 0x7FEB352D
_SECOND = 0x846CA68B - (1 << 32)


def coin_key(seed: int, content: str, leaf: str) -> int:
    """Return the 64-bit key of one leaf of one expert: the first 8 bytes of a sha256 over the three names.

    `content` is the expert's content digest, so that equal experts drop the same elements wherever they lie, and two
    experts drop different ones under the same seed.

    >>> hex(coin_key(0, "ab", "layers.0.weight"))
    '0x5fbf90e5483cf611'
    """
    digest = hashlib.sha256(f"basin.dare.1\n{seed}\n{content}\n{leaf}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def coin_hash(key: int, start: int, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return a 32-bit hash for each of the elements start … start + count − 1 of the leaf that `key` names.

    h(i) = f(f(lowᵢ ⊕ k₀) ⊕ k₁ ⊕ f(highᵢ)), where k₀, k₁ are the halves of the key, lowᵢ, highᵢ the 32-bit halves of
    the index and f is lowbias32, a 32-bit finaliser.

    Shapes: returns [count] int64, values in [0, 2³²). Integer arithmetic only: the same on every device.

    Source: f is C. Wellons, “Prospecting for Hash Functions” (2018), nullprogram.com/blog/2018/07/31, in the public
    domain.

    >>> coin_hash(0, 0, 2).tolist()
    [0, 1492470133]
    """
    if torch.device(device).type == "cpu":
        return torch.from_numpy(_words(key, start, count).astype(np.int64))
    return hash_on(torch.device(device), key, start, count)


def hash_on(device: torch.device, key: int, start: int, count: int) -> torch.Tensor:
    """Return what `coin_hash` does, in the device's own arithmetic of 64-bit numbers.

    >>> torch.equal(hash_on(torch.device("cpu"), 9, 5, 3), coin_hash(9, 5, 3))
    True
    """
    result = torch.empty(count, dtype=torch.int64, device=device)
    low_key, high_key = key & _WORD, key >> 32
    for position, end in _within_blocks(start, start + count):
        block = result[position - start : end - start]
        low = position & _WORD
        torch.arange(low, low + end - position, dtype=torch.int64, out=block)
        _finalise_(block.bitwise_xor_(high_key))
        _finalise_(block.bitwise_xor_(low_key ^ _finalised(position >> 32)))
    return result


def coin_limit(density: float) -> int:
    """Return the hash below which an element stays: round(density·2³²).

    >>> coin_limit(0.5) == 1 << 31
    True
    """
    return round(density * (1 << 32))


def coins(key: int, start: int, count: int, density: float, device: torch.device | str = "cpu") -> torch.Tensor:
    """Say which of the elements start … start + count − 1 stay: those with hash below round(density·2³²).

    Shapes: returns [count] bool. density: fraction kept, in (0, 1]; at 1 everything stays. A larger density keeps
    what a smaller one kept.

    >>> coins(7, 0, 6, 0.5).tolist() == coins(7, 0, 3, 0.5).tolist() + coins(7, 3, 3, 0.5).tolist()
    True
    """
    limit = coin_limit(density)
    if torch.device(device).type != "cpu":
        return coin_hash(key, start, count, device) < limit
    if limit > _WORD:
        return torch.ones(count, dtype=torch.bool)
    return torch.from_numpy(_words(key, start, count) < np.uint32(limit))


def _words(key: int, start: int, count: int) -> NDArray[np.uint32]:
    """Return the hashes on a CPU, where 32-bit words are worked on as such: a block of them stays in the cache."""
    result = np.empty(count, np.uint32)
    shifted = np.empty(_BLOCK, np.uint32)
    low_key, high_key = key & _WORD, key >> 32
    for position, end in _within_blocks(start, start + count):
        block, aside = result[position - start : end - start], shifted[: end - position]
        # The upper halves of all words in a block are equal, so the first shift of the first round is one number.
        above = ((position & _WORD) ^ high_key) >> 16
        first = (position & _WORD & -_BLOCK) ^ high_key ^ above
        offset = position % _BLOCK
        np.bitwise_xor(_counting()[offset : offset + len(block)], np.uint32(first), out=block)
        np.multiply(block, np.uint32(_FIRST), out=block)
        _fold(block, aside, 15)
        np.multiply(block, np.uint32(_SECOND & _WORD), out=block)
        _fold(block, aside, 16)
        np.bitwise_xor(block, np.uint32(low_key ^ _finalised(position >> 32)), out=block)
        _fold(block, aside, 16)
        np.multiply(block, np.uint32(_FIRST), out=block)
        _fold(block, aside, 15)
        np.multiply(block, np.uint32(_SECOND & _WORD), out=block)
        _fold(block, aside, 16)
    return result


def _fold(words: NDArray[np.uint32], aside: NDArray[np.uint32], bits: int) -> None:
    np.right_shift(words, np.uint32(bits), out=aside)
    np.bitwise_xor(words, aside, out=words)


@lru_cache(1)
def _counting() -> NDArray[np.uint32]:
    return np.arange(_BLOCK, dtype=np.uint32)


def _within_blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut a range at multiples of the block size, so that the upper half of the index is one number within a block."""
    while start < stop:
        end = min(stop, (start // _BLOCK + 1) * _BLOCK)
        yield start, end
        start = end


def _finalise_(words: torch.Tensor) -> torch.Tensor:
    """Mix 32-bit words in place with lowbias32."""
    words.bitwise_xor_(words >> 16).mul_(_FIRST).bitwise_and_(_WORD)
    words.bitwise_xor_(words >> 15).mul_(_SECOND).bitwise_and_(_WORD)
    return words.bitwise_xor_(words >> 16)


def _finalised(word: int) -> int:
    word = ((word ^ (word >> 16)) * _FIRST) & _WORD
    word = ((word ^ (word >> 15)) * _SECOND) & _WORD
    return word ^ (word >> 16)
