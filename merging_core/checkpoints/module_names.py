"""What transformers calls the weights of a model, where its modules are named otherwise than the leaves of a file.

Since transformers 5 some modules have other names than the files that are read into them: what is
`vit.encoder.layer.0.attention.attention.query` there is `vit.layers.0.attention.q_proj` here. PEFT names the layers of
an adapter by modules. transformers' own table says how files are renamed; nothing is built for that, and no code of a
repository is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["module_names"]


def module_names(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return the leaf of a file for each weight of the modules that it is read into, as far as both are one to one.

    `config` is the model's configuration: its `architectures` and `model_type` say which table is meant. Leaves that
    are joined with others, cut or turned when they are read have no name of their own, and are left out. Empty where
    transformers says nothing of the model.

    >>> name = "vit.encoder.layer.0.attention.attention.query.weight"
    >>> config = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    >>> module_names(config, [name])
    {'vit.layers.0.attention.q_proj.weight': 'vit.encoder.layer.0.attention.attention.query.weight'}
    >>> module_names({"model_type": "none-such"}, [name])
    {}
    """
    try:
        found = _transforms(config)
    except (ImportError, AttributeError):  # a version of transformers without such a table
        return {}
    if not found:
        return {}
    renamed = {name: _renamed(name, found) for name in names}
    counts = Counter(renamed.values())
    return {new: name for name, new in renamed.items() if new is not None and counts[new] == 1}


def _transforms(config: Mapping[str, Any]) -> list[Any]:
    """Return what transformers does to the names of a file, in its order: for the model, then for the one inside it."""
    from transformers import conversion_mapping
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    known: Callable[[str], list[Any] | None] = conversion_mapping.get_checkpoint_conversion_mapping
    stated, kind = config.get("architectures"), config.get("model_type")
    outer = stated[0] if isinstance(stated, list) and stated and isinstance(stated[0], str) else ""
    by_class = known(outer) if outer else None
    by_type = known(kind) if isinstance(kind, str) else None
    found = list((by_type if by_class is None else by_class) or ())
    inner, prefix = MODEL_MAPPING_NAMES.get(kind) if isinstance(kind, str) else None, _prefix(outer)
    if isinstance(inner, str) and inner != outer and prefix is not None:
        within = known(inner)
        if within is None and by_class is not None:
            within = by_type
        for transform in within or ():
            transform.scope_prefix, transform.base_model_prefix = "", prefix
            found.append(transform)
    return [*found, *(known("legacy") or ())] if found else []


def _prefix(architecture: str) -> str | None:
    """Return what a model calls the model inside it; None where transformers has no such model."""
    import transformers

    found = getattr(transformers, architecture, None) if architecture.isidentifier() else None
    inside = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return str(found.base_model_prefix) if inside and found is not None else None


def _renamed(name: str, transforms: Iterable[Any]) -> str | None:
    """Return the name of a weight once it is read; None where more than its name changes."""
    from transformers.core_model_loading import PrefixChange, WeightRenaming

    others = []
    for transform in transforms:
        if type(transform) in (WeightRenaming, PrefixChange):
            name, _ = transform.rename_source_key(name)
        else:
            others.append(transform)
    return None if any(other.rename_source_key(name)[1] is not None for other in others) else name
