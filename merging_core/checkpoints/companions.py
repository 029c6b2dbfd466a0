"""The small files beside a model's weights that say how texts and pictures become its inputs, and how it writes.

They are never read here as anything but bytes: whoever merges passes those of the base on, as they are.
"""

from __future__ import annotations

from types import MappingProxyType

from merging_core.checkpoints.reader import Checkpoint

__all__ = ["COMPANIONS", "companions_of"]

_SMALL, _VOCABULARY = 8 << 20, 64 << 20
COMPANIONS = MappingProxyType(
    {
        # a tokenizer as one file, and what is said about it
        "tokenizer.json": _VOCABULARY,
        "tokenizer_config.json": _SMALL,
        "special_tokens_map.json": _SMALL,
        "added_tokens.json": _SMALL,
        # how a conversation becomes a text: beside the tokenizer, and as processors wrote it before
        "chat_template.jinja": _SMALL,
        "chat_template.json": _SMALL,
        # vocabularies: of byte pairs, of word pieces, of SentencePiece, of Mistral
        "vocab.json": _SMALL,
        "merges.txt": _SMALL,
        "vocab.txt": _SMALL,
        "tokenizer.model": _VOCABULARY,
        "spiece.model": _VOCABULARY,
        "sentencepiece.bpe.model": _VOCABULARY,
        "spm.model": _VOCABULARY,
        "tekken.json": _VOCABULARY,
        "normalizer.json": _SMALL,
        # pictures, sounds, films, and all of them together
        "preprocessor_config.json": _SMALL,
        "video_preprocessor_config.json": _SMALL,
        "processor_config.json": _SMALL,
        # how a text is written
        "generation_config.json": _SMALL,
    }
)
"""Their names, and the bytes that each may have."""


def companions_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return those that lie beside a model's configuration; what is no regular file or too large is left out."""
    found = {name: checkpoint.beside(name, most) for name, most in COMPANIONS.items()}
    return {name: data for name, data in found.items() if data is not None}
