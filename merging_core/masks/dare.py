"""The random mask of DARE: drop and rescale, with coins that depend on nothing but their names.

Whether an element stays is a function of (seed, content of the expert, leaf, index). There is no generator with a
state: any piece can be computed alone, in any order, on any device, and gives the same bits.
"""

from __future__ import annotations

import hashlib

import torch

from merging_core.masks.info import MaskContext, MaskInfo, density_parameter
from merging_core.methods.info import Source

__all__ = ["DARE", "dare_hash", "dare_keep", "dare_key", "drop_and_rescale"]

_WORD = 0xFFFFFFFF
_BLOCK = 1 << 16
# The multipliers of lowbias32 as signed 32-bit numbers: a product with a number below 2³² then fits into int64.
_FIRST = 0x7FEB352D
_SECOND = 0x846CA68B - (1 << 32)


def dare_key(seed: int, content: str, leaf: str) -> int:
    """Return the 64-bit key of one leaf of one expert: the first 8 bytes of a sha256 over the three names.

    `content` is the expert's content digest, so that equal experts drop the same elements wherever they lie, and two
    experts drop different ones under the same seed.

    >>> hex(dare_key(0, "ab", "layers.0.weight"))
    '0x5fbf90e5483cf611'
    """
    digest = hashlib.sha256(f"basin.dare.1\n{seed}\n{content}\n{leaf}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def dare_hash(key: int, start: int, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return a 32-bit hash for each of the elements start … start + count − 1 of the leaf that `key` names.

    h(i) = f(f(lowᵢ ⊕ k₀) ⊕ k₁ ⊕ f(highᵢ)), where k₀, k₁ are the halves of the key, lowᵢ, highᵢ the 32-bit halves of
    the index and f is lowbias32, a 32-bit finaliser.

    Shapes: returns [count] int64, values in [0, 2³²). Integer arithmetic only: the same on every device.

    Source: f is C. Wellons, “Prospecting for Hash Functions” (2018), nullprogram.com/blog/2018/07/31, in the public
    domain.

    >>> dare_hash(0, 0, 2).tolist()
    [0, 1492470133]
    """
    result = torch.empty(count, dtype=torch.int64, device=device)
    low_key, high_key = key & _WORD, key >> 32
    position = start
    while position < start + count:
        # Blocks end at multiples of the block size, so the upper half of the index is one number within a block.
        end = min(start + count, (position // _BLOCK + 1) * _BLOCK)
        block = result[position - start : end - start]
        low = position & _WORD
        torch.arange(low, low + end - position, dtype=torch.int64, out=block)
        _finalise_(block.bitwise_xor_(high_key))
        _finalise_(block.bitwise_xor_(low_key ^ _finalised(position >> 32)))
        position = end
    return result


def dare_keep(key: int, start: int, count: int, density: float, device: torch.device | str = "cpu") -> torch.Tensor:
    """Say which of the elements start … start + count − 1 stay: those with hash below round(density·2³²).

    Shapes: returns [count] bool. density: fraction kept, in (0, 1]; at 1 everything stays. A larger density keeps
    what a smaller one kept.

    >>> dare_keep(7, 0, 6, 0.5).tolist() == dare_keep(7, 0, 3, 0.5).tolist() + dare_keep(7, 3, 3, 0.5).tolist()
    True
    """
    return dare_hash(key, start, count, device) < round(density * (1 << 32))


def drop_and_rescale(vector: torch.Tensor, context: MaskContext) -> torch.Tensor:
    """Keep each τᵢ with probability `density`, multiply what stays by 1/density and put zero elsewhere.

    The factor keeps the expected value of every element: E[τ̂ᵢ] = τᵢ.

    Shapes: vector [n] float32 → [n]; `context.start` is the index of its first element within the leaf.

    Source: Yu et al. (2024), arXiv 2311.03099, drop and rescale with drop rate p = 1 − density. The coins come from an
    integer hash instead of a generator.

    >>> from merging_core.methods.info import Parameters
    >>> drop_and_rescale(torch.ones(6), MaskContext(Parameters(density=0.5), key=7)).tolist()
    [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]
    """
    density = context.params.number("density")
    if density == 1.0:
        return vector
    keep = dare_keep(context.key, context.start, vector.numel(), density, vector.device)
    return torch.where(keep, vector * (1.0 / density), 0.0)


def _finalise_(words: torch.Tensor) -> torch.Tensor:
    """Mix 32-bit words in place with lowbias32."""
    words.bitwise_xor_(words >> 16).mul_(_FIRST).bitwise_and_(_WORD)
    words.bitwise_xor_(words >> 15).mul_(_SECOND).bitwise_and_(_WORD)
    return words.bitwise_xor_(words >> 16)


def _finalised(word: int) -> int:
    word = ((word ^ (word >> 16)) * _FIRST) & _WORD
    word = ((word ^ (word >> 15)) * _SECOND) & _WORD
    return word ^ (word >> 16)


DARE = MaskInfo(
    name="dare",
    title="Random (DARE)",
    formula="τ̂ᵢ = τᵢ/density where hash₃₂(seed, content, leaf, i) is below density·2³², else 0",
    summary="A seeded coin drops most changes of each expert and scales up the rest, so that experts rarely meet.",
    source=Source(
        "Yu et al.",
        2024,
        "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch",
        "https://arxiv.org/abs/2311.03099",
        "drop and rescale",
        "the coins come from an integer hash, so that they are the same on every device",
    ),
    parameters=(
        density_parameter(
            0.5, "The probability with which an element is kept; 0.1 is usual for large language models."
        ),
    ),
    stochastic=True,
    apply=drop_and_rescale,
)
