"""What `adapter_config.json` says of an adapter, so that PEFT makes exactly the layers that it holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping

from merging_core.analysis.layers import all_modules
from merging_core.checkpoints.reader import Checkpoint

__all__ = ["peft_config", "target_modules"]


def peft_config(  # noqa: PLR0913
    ranks: Mapping[str, int],
    saved: Collection[str],
    names: Collection[str],
    base: Checkpoint,
    *,
    turned: bool,
    biases: bool,
) -> str:
    """Return the text of the configuration: `ranks` by layer, and the layers that are `saved` whole.

    `names` are those of all leaves of the base. α of each layer is its rank, so that B·A is added as it is.
    """
    common = Counter(ranks.values()).most_common(1)[0][0]
    own = _patterns(ranks, common)
    ref = base.ref
    config = {
        "alpha_pattern": own,
        "auto_mapping": None,
        "base_model_name_or_path": ref.path if ref.scheme == "hub" and not ref.part else None,
        "bias": "lora_only" if biases else "none",
        "fan_in_fan_out": turned,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": common,
        "lora_dropout": 0.0,
        "modules_to_save": sorted(saved) or None,
        "peft_type": "LORA",
        "r": common,
        "rank_pattern": own,
        "revision": ref.commit,
        "target_modules": target_modules(ranks, all_modules(names)),
        "task_type": None,
        "use_dora": False,
        "use_rslora": False,
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def target_modules(targets: Collection[str], modules: Collection[str]) -> list[str] | str:
    """Return what selects these modules and no other: last parts of names, whole names, or else an expression.

    PEFT takes a module whose name is one of the list, or ends like one after a point.

    >>> target_modules({"l.0.q", "l.1.q", "l.0.up"}, {"l", "l.0", "l.1", "l.0.q", "l.1.q", "l.0.up", "l.1.up"})
    ['l.0.up', 'q']
    >>> target_modules({"head"}, {"head", "aside.head"})
    '(?:head)'
    """
    wanted = set(targets)
    others = {ending for module in modules if module not in wanted for ending in (module, *_endings(module))}
    if not wanted.isdisjoint(others):
        return f"(?:{'|'.join(re.escape(target) for target in sorted(wanted))})"
    return sorted({last if (last := module.rpartition(".")[2]) not in others else module for module in wanted})


def _patterns(ranks: Mapping[str, int], common: int) -> dict[str, int]:
    """Return the rank of each layer that has another one, longer names first: of those that end alike, PEFT takes one.

    >>> _patterns({"q": 4, "x.q": 8, "v": 8}, 8)
    {'x.q': 8, 'q': 4}
    """
    other = {module for module, rank in ranks.items() if rank != common}
    alike = {module for module in ranks.keys() - other if not other.isdisjoint(_endings(module))}
    return {module: ranks[module] for module in sorted(other | alike, key=lambda name: (-len(name), name))}


def _endings(module: str) -> list[str]:
    """Return what a name ends with after each of its points.

    >>> _endings("a.b.c")
    ['b.c', 'c']
    """
    parts = module.split(".")
    return [".".join(parts[at:]) for at in range(1, len(parts))]
