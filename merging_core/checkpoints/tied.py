"""Tied leaves: one matrix that a model uses in two places, such as its embedding and its head.

transformers ties them after it has loaded a file, so files hold them once or twice, under either name, and all of these
are the same model. Here a tied leaf is one leaf, under the name of the place that the others are tied to. What the file
holds besides is a `Twin`: it counts for the content, must hold the same numbers, and is not written again.

A head that the configuration does not tie is a leaf of its own.

Source: `_tied_weights_keys` of transformers 5, and its `tie_weights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from merging_core.checkpoints.header import FileHeader, LeafHeader
from merging_core.checkpoints.natural import natural_key

__all__ = ["Twin", "tied_with", "told_once"]

_SHARED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_GROUPS: tuple[tuple[str, ...], ...] = (
    ("model.embed_tokens.weight", "lm_head.weight"),
    ("shared.weight", *_SHARED, "lm_head.weight"),
    ("model.shared.weight", *(f"model.{name}" for name in _SHARED), "lm_head.weight"),
    ("model.decoder.embed_tokens.weight", "proj_out.weight", "lm_head.weight"),
    ("model.language_model.embed_tokens.weight", "lm_head.weight"),
    ("model.text_model.embed_tokens.weight", "lm_head.weight"),
    ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"),
    ("transformer.wte.weight", "lm_head.weight"),
    ("transformer.word_embeddings.weight", "lm_head.weight"),
    ("gpt_neox.embed_in.weight", "embed_out.weight", "lm_head.weight"),
    ("backbone.embeddings.weight", "lm_head.weight"),
    *(
        (f"{body}.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight")
        for body in ("bert", "deberta", "ernie", "mobilebert", "roformer")
    ),
    *(
        (f"{body}.embeddings.word_embeddings.weight", "lm_head.decoder.weight")
        for body in ("roberta", "longformer", "mpnet", "esm", "bert")
    ),
    ("albert.embeddings.word_embeddings.weight", "predictions.decoder.weight"),
    ("electra.embeddings.word_embeddings.weight", "generator_lm_head.weight"),
    ("distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"),
    ("model.embeddings.tok_embeddings.weight", "decoder.weight"),
    ("biogpt.embed_tokens.weight", "output_projection.weight"),
    ("funnel.embeddings.word_embeddings.weight", "lm_head.weight"),
    ("transformer.w.weight", "lm_head.weight"),
    ("transformer.word_embedding.weight", "lm_loss.weight"),
    ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ("predictions.bias", "predictions.decoder.bias"),
    ("lm_head.bias", "lm_head.decoder.bias"),
)
"""Names of one matrix in files; the first is the place that the others are tied to. Of equals the first counts."""
_SHARE_ALWAYS = frozenset({"t5", "mt5", "umt5", "longt5", "switch_transformers", "pop2piano"})
"""Their encoder and decoder share the embedding whatever the configuration says of the head."""


@dataclass(frozen=True)
class Twin:
    """A leaf of the file that is `leaf` under another name."""

    stored: LeafHeader
    leaf: str
    alone: bool
    """Whether the file holds the matrix under this name only, so that it is what is read."""
    named: bool = False
    """Whether nothing ties the two: only the name in the file is another."""


def told_once(files: Iterable[FileHeader], config: Mapping[str, Any]) -> tuple[dict[str, LeafHeader], tuple[Twin, ...]]:
    """Return the leaves of files in natural order, each tied one once, and what the files hold of them besides.

    Leaves of another shape or dtype are not tied, nor are any where there is no configuration. safetensors notes in the
    metadata of a file which name it left out for which.

    >>> names = ("model.embed_tokens.weight", "lm_head.weight")
    >>> file = FileHeader("f", None, tuple(LeafHeader(name, "F32", (2,), "f", 0) for name in names), {})
    >>> leaves, twins = told_once([file], {"tie_word_embeddings": True})
    >>> list(leaves), [(twin.stored.name, twin.leaf) for twin in twins]
    (['model.embed_tokens.weight'], [('lm_head.weight', 'model.embed_tokens.weight')])
    >>> len(told_once([file], {"tie_word_embeddings": False})[0])
    2
    """
    files = list(files)
    found = {leaf.name: leaf for file in files for leaf in file.leaves}
    metadata = {left_out: kept for file in files for left_out, kept in file.metadata.items()}
    twins: list[Twin] = []
    for group in _GROUPS if config else ():
        if group[0] not in found and not _stands_alone(group, found, metadata):
            continue
        names = [name for name in group if name in found]
        names = [name for name in names if _alike(found[name], found[names[0]]) and _tied(config, group, name)]
        if names and names[0] != group[0]:
            twins.append(Twin(found[names[0]], group[0], alone=True))
            found[group[0]] = replace(found[names[0]], name=group[0])
            del found[names[0]]
        for name in names[1:]:
            twins.append(Twin(found.pop(name), group[0], alone=False))
    return {name: found[name] for name in sorted(found, key=natural_key)}, tuple(twins)


def tied_with(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the other places where a model may use this leaf, as its configuration ties them.

    >>> tied_with("transformer.wte.weight", {"model_type": "gpt2"}), tied_with("lm_head.weight", {"model_type": "gpt2"})
    (('lm_head.weight',), ())
    """
    groups = [group for group in _GROUPS if group[0] == name and config]
    return tuple(other for group in groups for other in group[1:] if _tied(config, group, other))


def _stands_alone(group: tuple[str, ...], leaves: Mapping[str, LeafHeader], metadata: Mapping[str, str]) -> bool:
    """Say whether the file holds the group's matrix, and only under names that are tied to the first.

    Several groups may have these names. The file says which it is, or else its other names do; never where another leaf
    of that shape could be the matrix.
    """
    names = [name for name in group if name in leaves]
    if not names or names[0] in metadata.values():
        return bool(names) and metadata.get(group[0]) in names
    others = [other for other in _GROUPS if names[0] in other]
    if any(other[0] in leaves for other in others):
        return False
    if any(name not in group and leaf.shape == leaves[names[0]].shape for name, leaf in leaves.items()):
        return False
    fitting = [other[0] for other in others if any(name.startswith(_parent(other[0])) for name in leaves)]
    return group[0] == max(fitting, key=lambda name: len(_parent(name)), default="")


def _parent(name: str) -> str:
    """Return the start of the names of what lies beside a leaf's module.

    >>> _parent("model.embed_tokens.weight"), _parent("shared.weight")
    ('model.', '')
    """
    return "".join(f"{part}." for part in name.split(".")[:-2])


def _alike(a: LeafHeader, b: LeafHeader) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype)


def _tied(config: Mapping[str, Any], group: tuple[str, ...], name: str) -> bool:
    """Say whether the configuration ties a name of a group to the first."""
    if name == group[0] or (name in _SHARED and config.get("model_type") in _SHARE_ALWAYS):
        return True
    text = config.get("text_config")
    stated = [part.get("tie_word_embeddings") for part in (config, text) if isinstance(part, Mapping)]
    if True in stated:
        return True
    return stated[0] is None and _tied_by_default(config.get("model_type"))


def _tied_by_default(model_type: object) -> bool:
    """Say what transformers takes for granted where a configuration says nothing; old versions left out a yes."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    known = CONFIG_MAPPING[model_type] if isinstance(model_type, str) and model_type in CONFIG_MAPPING else None
    return bool(getattr(known, "tie_word_embeddings", True))
