"""What `adapter_config.json` of PEFT says about a LoRA adapter, read strictly: what would change the weights is obeyed or refused.

Source: PEFT, `LoraConfig` and `LoraLayer.update_layer`; Hu et al., 2021, “LoRA” (arXiv 2106.09685); Kalajdzievski, 2023,
“A Rank Stabilization Scaling Factor” (arXiv 2312.03732), for α/√r.
"""  # noqa: E501

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from merging_core.errors import CheckpointError, Problem

__all__ = ["ADAPTER_CONFIG", "ADAPTER_MODEL", "AdapterConfig", "ByModule", "read_adapter_config"]

ADAPTER_CONFIG, ADAPTER_MODEL = "adapter_config.json", "adapter_model.safetensors"

_LARGEST_RANK = 65_536
_MOST_PATTERNS, _LONGEST_PATTERN = 4_096, 256
_PATTERN = re.compile(r"\^?(?:[A-Za-z0-9_-]|\\?\.[*+]?|\\d\+?|\[[0-9-]+\]\+?|\(|\)|\|)+\$?")
"""The patterns that are read: names, and of what repeats only what cannot be tried in many ways."""
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|\\?\.)+")
_REPEATS = re.compile(r"[*+]")
_MOST_REPEATS, _MOST_PARTS = 2, 24
_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")

_MAKES_SAME_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin training that leave the base as it is."""
_REFUSED = {
    "use_dora": "DoRA, which also scales each row by a length that it learnt",
    "use_qalora": "QALoRA, whose input is pooled",
    "layer_replication": "layers that stand in the model several times",
    "target_parameters": "parameters that belong to no layer of their own",
    "trainable_token_indices": "single rows of the embedding, trained without LoRA",
    "alora_invocation_tokens": "activated LoRA, which acts only after certain tokens",
    "arrow_config": "a router between several adapters",
    "monteclora_config": "weights that are drawn anew each time",
    "use_bdlora": "BD-LoRA, whose factors are made of blocks",
    "velora_config": "VeLoRA",
    "kasa_config": "KaSA, which changes the base first",
}
_READ = frozenset({"peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out"})
_READ_TOO = frozenset({"init_lora_weights", "base_model_name_or_path", "lora_bias", "bias"})
_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_config",
        "megatron_core",
        "modules_to_save",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
    }
)
"""Settings of training, and those whose effect can be seen in the adapter's leaves."""


@dataclass(frozen=True)
class ByModule:
    """A number for every module: of the first pattern that its name ends like, else the default.

    >>> numbers = ByModule(8, (("q_proj", 4), (r"layers\\.[01]\\..*", 2)))
    >>> [numbers.of(name) for name in ("layers.0.q_proj", "layers.1.k_proj", "layers.2.k_proj", "xq_proj")]
    [4, 2, 8, 8]
    """

    default: float
    patterns: tuple[tuple[str, float], ...] = ()

    def of(self, module: str) -> float:
        """Return the number of a module."""
        endings = _endings(module)
        first = min((self._names[ending] for ending in endings if ending in self._names), default=len(self.patterns))
        for place, pattern in self._expressions:
            tried = endings[-1:] if pattern.pattern.startswith("^") else endings
            if place < first and any(pattern.fullmatch(ending) for ending in tried):
                first = place
                break
        return self.patterns[first][1] if first < len(self.patterns) else self.default

    @property
    def expressions(self) -> int:
        """How many of the patterns are more than names."""
        return len(self._expressions)

    @cached_property
    def _names(self) -> dict[str, int]:
        return {
            pattern.replace("\\.", "."): place
            for place, (pattern, _) in reversed(list(enumerate(self.patterns)))
            if _NAME.fullmatch(pattern)
        }

    @cached_property
    def _expressions(self) -> tuple[tuple[int, re.Pattern[str]], ...]:
        found = enumerate(pattern for pattern, _ in self.patterns)
        return tuple((place, re.compile(pattern)) for place, pattern in found if not _NAME.fullmatch(pattern))


@dataclass(frozen=True)
class AdapterConfig:
    """How the leaves of a LoRA adapter are added to those of a base: W + s·B·A."""

    ranks: ByModule
    alphas: ByModule
    rank_stabilised: bool = False
    """Whether s = α/√r instead of α/r."""
    fan_in_fan_out: bool = False
    """Whether square layers hold their weight as [in, out], as GPT-2's do; others show it by their shape."""
    base: str = ""
    """The base on the Hub (`owner/name`) that it says it was trained on, where it says so."""

    def rank_of(self, module: str) -> int:
        """Return r of a module.

        >>> AdapterConfig(ByModule(8, (("q_proj", 4),)), ByModule(16)).rank_of("layers.0.q_proj")
        4
        """
        return int(self.ranks.of(module))

    def scale_of(self, module: str) -> float:
        """Return s of a module.

        >>> AdapterConfig(ByModule(16), ByModule(8)).scale_of("q_proj")
        0.5
        >>> AdapterConfig(ByModule(16), ByModule(8), rank_stabilised=True).scale_of("q_proj")
        2.0
        """
        rank = self.rank_of(module)
        return self.alphas.of(module) / (math.sqrt(rank) if self.rank_stabilised else rank)

    @property
    def identity(self) -> str:
        """What of it determines the weights, as one text."""
        parts = [[numbers.default, numbers.patterns] for numbers in (self.ranks, self.alphas)]
        return json.dumps([*parts, self.rank_stabilised, self.fan_in_fan_out])


def read_adapter_config(value: Mapping[str, Any]) -> AdapterConfig:
    """Read a PEFT configuration.

    Settings that are not known are refused where they are set, since they may change the weights.
    Raises CheckpointError with everything that is wrong or not supported.

    >>> read_adapter_config({"peft_type": "LORA", "r": 8, "lora_alpha": 16}).scale_of("q_proj")
    2.0
    >>> read_adapter_config({"peft_type": "IA3"})
    Traceback (most recent call last):
    merging_core.errors.CheckpointError: adapter_config.json: an adapter is a LoRA adapter (peft_type LORA), but 'IA3' came; merge it into its base with PEFT, and use the result.
    """  # noqa: E501
    fix = "merge it into its base with PEFT, and use the result"
    if value.get("peft_type") != "LORA":
        must = "an adapter is a LoRA adapter (peft_type LORA)"
        raise CheckpointError(Problem(must, _shown(value.get("peft_type")), ADAPTER_CONFIG, fix))
    problems = [
        Problem("the adapter is plain LoRA", f"{name}: {what}", ADAPTER_CONFIG, fix)
        for name, what in _REFUSED.items()
        if value.get(name)
    ]
    begun = value.get("init_lora_weights", True)
    if not any(begun is known or (isinstance(begun, str) and begun == known) for known in _MAKES_SAME_BASE):
        must = "the adapter is added to the base as it was published"
        got = f"init_lora_weights {_shown(begun)}, which changes the base first"
        problems.append(Problem(must, got, ADAPTER_CONFIG, "convert it to plain LoRA when it is saved, as PEFT can"))
    known = _READ | _READ_TOO | _WITHOUT_EFFECT | _REFUSED.keys()
    problems += [
        Problem("every setting of an adapter is one that is known here", _shown(name), ADAPTER_CONFIG, fix)
        for name, setting in value.items()
        if name not in known and setting
    ][:8]
    rank = _whole(value.get("r"), "r", problems)
    alpha = _finite(value.get("lora_alpha"), "lora_alpha", problems)
    flags = {name: _flag(value.get(name), name, problems) for name in ("use_rslora", "fan_in_fan_out")}
    ranks = tuple(
        (pattern, _whole(number, f"rank_pattern {_shown(pattern)}", problems))
        for pattern, number in _patterns(value.get("rank_pattern"), "rank_pattern", problems)
    )
    alphas = tuple(
        (pattern, _finite(number, f"alpha_pattern {_shown(pattern)}", problems))
        for pattern, number in _patterns(value.get("alpha_pattern"), "alpha_pattern", problems)
    )
    if problems:
        raise CheckpointError(*problems)
    base = value.get("base_model_name_or_path")
    named = base if isinstance(base, str) and _HUB_NAME.fullmatch(base) else ""
    by_rank, by_alpha = ByModule(rank, ranks), ByModule(alpha, alphas)
    return AdapterConfig(by_rank, by_alpha, flags["use_rslora"], flags["fan_in_fan_out"], named)


def _endings(module: str) -> list[str]:
    """Return what a name of a module ends with, from whole parts on.

    >>> _endings("layers.0.q_proj")
    ['q_proj', '0.q_proj', 'layers.0.q_proj']
    """
    parts = module.split(".")
    return [".".join(parts[-count:]) for count in range(1, min(len(parts), _MOST_PARTS) + 1)]


def _patterns(value: Any, name: str, problems: list[Problem]) -> list[tuple[str, Any]]:
    """Return patterns and their numbers; a stranger's expression is matched only if it cannot take long."""
    if value in (None, {}):
        return []
    where = f"{ADAPTER_CONFIG}: {name}"
    if not isinstance(value, dict) or len(value) > _MOST_PATTERNS:
        must = f"it maps at most {_MOST_PATTERNS} names of modules to numbers"
        problems.append(Problem(must, "something else", where))
        return []
    found = []
    for pattern, number in value.items():
        if _readable(pattern):
            found.append((pattern, number))
        elif len(problems) < 8:
            must = "a pattern is a name of modules, with “.*”, “\\d+” or (a|b) in it at most twice"
            problems.append(Problem(must, _shown(pattern), where))
    return found


def _readable(pattern: str) -> bool:
    if len(pattern) > _LONGEST_PATTERN or not _PATTERN.fullmatch(pattern):
        return False
    if len(_REPEATS.findall(pattern)) > _MOST_REPEATS:
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _whole(value: Any, name: str, problems: list[Problem]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_RANK:
        return value
    problems.append(Problem(f"{name} is a whole number from 1 to {_LARGEST_RANK}", _shown(value), ADAPTER_CONFIG))
    return 1


def _finite(value: Any, name: str, problems: list[Problem]) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e12:
        return float(value)
    problems.append(Problem(f"{name} is a number of at most 10^12", _shown(value), ADAPTER_CONFIG))
    return 1.0


def _flag(value: Any, name: str, problems: list[Problem]) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    problems.append(Problem(f"{name} is true or false", _shown(value), ADAPTER_CONFIG))
    return False


def _shown(value: Any) -> str:
    return "nothing" if value is None else ascii(value)[:80]
