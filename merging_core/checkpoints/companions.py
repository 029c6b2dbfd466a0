"""The small files beside a model's weights that say how texts and pictures become its inputs, and how it writes.

They are never read here as anything but bytes: whoever merges passes those of the base on, as they are.
"""

from __future__ import annotations

from types import MappingProxyType

from merging_core.checkpoints.reader import Checkpoint
from merging_core.checkpoints.templates import is_template, template_names

__all__ = ["COMPANIONS", "companions_of", "most_bytes"]

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
        # vocabularies: of byte pairs, of word pieces, of SentencePiece, of tiktoken, of Mistral
        "vocab.json": _SMALL,
        "merges.txt": _SMALL,
        "bpe.codes": _SMALL,
        "vocab.txt": _SMALL,
        "dict.txt": _SMALL,
        "tokenizer.model": _VOCABULARY,
        "spiece.model": _VOCABULARY,
        "sentencepiece.bpe.model": _VOCABULARY,
        "sentencepiece.model": _VOCABULARY,
        "spm.model": _VOCABULARY,
        "spm_char.model": _VOCABULARY,
        "tiktoken.model": _VOCABULARY,
        "tekken.json": _VOCABULARY,
        "normalizer.json": _SMALL,
        # of two languages, of entities, of signs
        "source.spm": _VOCABULARY,
        "target.spm": _VOCABULARY,
        "vocab-src.json": _SMALL,
        "vocab-tgt.json": _SMALL,
        "target_vocab.json": _SMALL,
        "entity_vocab.json": _VOCABULARY,
        "emoji.json": _SMALL,
        "byte_maps.json": _SMALL,
        "prophetnet.tokenizer": _SMALL,
        "word_shape.json": _SMALL,
        "word_pronunciation.json": _SMALL,
        # pictures, sounds, films, and all of them together
        "preprocessor_config.json": _SMALL,
        "video_preprocessor_config.json": _SMALL,
        "processor_config.json": _SMALL,
        "audio_tokenizer_config.json": _SMALL,
        # how a text is written
        "generation_config.json": _SMALL,
    }
)
"""Their names, and the bytes that each may have."""


def most_bytes(name: str) -> int | None:
    """Return how many bytes a companion of this name may have; None where it is none.

    >>> most_bytes("config.json") is None, most_bytes("additional_chat_templates/rag.jinja") == most_bytes("vocab.txt")
    (True, True)
    """
    return _SMALL if is_template(name) else COMPANIONS.get(name)


def companions_of(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return those that lie beside a model's configuration, its named chat templates too.

    What is no regular file or too large is left out.
    """
    sizes = {**COMPANIONS, **dict.fromkeys(template_names(checkpoint.folder), _SMALL)}
    found = {name: checkpoint.beside(name, most) for name, most in sizes.items()}
    return {name: data for name, data in found.items() if data is not None}
