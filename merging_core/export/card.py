"""The card of a merged checkpoint: what it is made of, how well it does, how to load it, how to make it again."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import yaml

from merging_core import __version__
from merging_core.cards.licences import common_licence, licence_of
from merging_core.cards.markdown import code_block, inert, table
from merging_core.checkpoints.reader import MODEL_NAME
from merging_core.checkpoints.shards import shards
from merging_core.engines.plan import Plan
from merging_core.engines.pricing import amount
from merging_core.evaluation.percent import percent
from merging_core.export.forms import command_line, forms, pinned
from merging_core.export.model_index import model_index
from merging_core.export.results import Results, TaskResult
from merging_core.export.words import in_words

__all__ = ["HERE", "Picture", "model_card"]

HERE = "path/to/this/folder"
"""What a card calls the folder it lies in."""

_CLASS = re.compile(r"[A-Z][A-Za-z0-9]{1,80}")
_PACKAGES = ("torch", "transformers", "safetensors")


@dataclass(frozen=True)
class Picture:
    """A chart as a picture: a plain file name such as `accuracy.png`, what it shows, and its bytes.

    `numbers`: the same as CSV, written beside it under the same stem; empty if there are none.
    """

    name: str
    title: str
    data: bytes
    numbers: str = ""

    @property
    def files(self) -> dict[str, str | bytes]:
        """What is written for it, by file name.

        >>> sorted(Picture("path.png", "Path", b"", "t,loss").files)
        ['path.csv', 'path.png']
        """
        table = {f"{self.name.rpartition('.')[0]}.csv": self.numbers} if self.numbers else {}
        return {self.name: self.data, **table}


def model_card(
    plan: Plan,
    results: Sequence[Results] = (),
    pictures: Sequence[Picture] = (),
    *,
    shard_bytes: int | None = None,
) -> str:
    """Return the text of README.md: front matter as the Hub reads it, then recipe, lineage, results, use and versions.

    Whatever comes from outside (names of models and tasks) is inert. Reads the digest of every checkpoint and the
    licence in the card beside it. Raises CheckpointError where a file changed since the plan.
    """
    licences = [licence_of(checkpoint) for checkpoint in plan.survey.checkpoints]
    front = yaml.safe_dump(_front_matter(plan, licences, results), sort_keys=False, allow_unicode=True, width=120)
    sections = [
        f"---\n{front}---",
        f"# {inert(_title(plan))}",
        in_words(plan.recipe, inert),
        f"Made with Basin {__version__}, by its streaming engine.",
        *_result_sections(results),
        *_picture_sections(pictures),
        "## How to load it",
        _loading(plan, shard_bytes),
        "## Lineage",
        _lineage(plan, licences),
        "## Recipe",
        f"Its hash is `{plan.hash}`. `recipe.json` beside this card holds it in canonical form.",
        code_block(forms(pinned(plan.recipe, plan.pins)).yaml, "yaml"),
        "The same merge again, in a folder where Basin lies:",
        code_block(command_line("recipe.json", shard_bytes), "bash"),
        "## Versions",
        _versions(),
    ]
    return "\n\n".join(sections) + "\n"


def _title(plan: Plan) -> str:
    return f"{plan.stages.method.title} of {len(plan.survey.experts)} models"


def _front_matter(plan: Plan, licences: list[str | None], results: Sequence[Results]) -> dict[str, Any]:
    refs = [checkpoint.ref for checkpoint in plan.survey.checkpoints]
    parents = list(dict.fromkeys(ref.path for ref in refs if ref.scheme == "hub"))
    licence = common_licence(licences)
    told = {} if licence is None else {"license": licence}
    if licence == "other":
        told["license_name"] = "several-see-lineage"
    index = model_index(_title(plan), results)
    return {
        **told,
        "library_name": "transformers" if _transformers_class(plan) else "safetensors",
        **({"base_model": parents, "base_model_relation": "merge"} if parents else {}),
        "tags": ["merge", "model-merging", "basin", plan.recipe.method.name],
        **({"metrics": ["accuracy"], "model-index": index} if index else {}),
    }


def _result_sections(results: Sequence[Results]) -> list[str]:
    return [text for found in results for text in (f"## Results on the {found.split} split", _result_text(found))]


def _result_text(found: Results) -> str:
    experts = any(task.expert is not None for task in found.tasks)
    header = ["task", "accuracy %", "95 % interval", "n", *(["its expert %"] if experts else [])]
    rows = [_result_row(task, inert(task.title), experts) for task in found.tasks]
    rows.append(_result_row(found.average, "**average**", experts))
    lines = [table(header, rows), "Intervals: Wilson for one task, stratified bootstrap for the average."]
    if found.normalised is not None and found.normalised_interval is not None:
        low, high = found.normalised_interval
        lines[-1] += f" Normalised (merged ÷ expert): {found.normalised:.3f} ({low:.3f} – {high:.3f})."
    if found.split == "validation":
        lines.append("Validation examples were looked at while this recipe was chosen; a test score is the fairer one.")
    if found.partial:
        lines.append("**Partial:** less than the whole split was measured.")
    if found.transductive:
        lines.append("**Transductive:** the method adapted on the inputs that it was measured on.")
    if found.note:
        lines.append(found.note)
    return "\n\n".join(lines)


def _result_row(task: TaskResult, title: str, experts: bool) -> list[str]:
    low, high = task.interval
    cells = [title, percent(task.accuracy), f"{percent(low)} – {percent(high)}", str(task.n)]
    return [*cells, *([percent(task.expert) if task.expert is not None else ""] if experts else [])]


def _picture_sections(pictures: Sequence[Picture]) -> list[str]:
    return ["## Charts", *map(_picture, pictures)] if pictures else []


def _picture(picture: Picture) -> str:
    numbers = [f"[The numbers as CSV]({name})" for name in picture.files if name != picture.name]
    return "\n\n".join([f"![{inert(picture.title)}]({picture.name})", *numbers])


def _loading(plan: Plan, shard_bytes: int | None) -> str:
    files = [shard.file for shard in shards(plan.outputs, shard_bytes)]
    name = _transformers_class(plan)
    if name is not None:
        use = f'from transformers import {name}\n\nmodel = {name}.from_pretrained("{HERE}")'
    elif files == [MODEL_NAME]:
        use = f'from safetensors.torch import load_file\n\nweights = load_file("{MODEL_NAME}")'
    else:
        use = (
            "from glob import glob\n\nfrom safetensors.torch import load_file\n\nweights = {}\n"
            'for file in sorted(glob("model-*.safetensors")):\n    weights |= load_file(file)'
        )
    spread = "one file" if len(files) == 1 else f"{len(files)} files"
    size = f"{len(plan.outputs)} leaves, {amount(plan.output_bytes)} of {plan.recipe.dtype} weights in {spread}."
    return f"{code_block(use, 'python')}\n\n{size}"


def _transformers_class(plan: Plan) -> str | None:
    """Return the class that opens the result; None if the configuration names none of transformers'."""
    config = plan.survey.reference.config
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    own = str(config.get("model_type", "")).startswith("basin_")
    return name if isinstance(name, str) and _CLASS.fullmatch(name) and not own else None


def _lineage(plan: Plan, licences: list[str | None]) -> str:
    roles = [("base", "")] if plan.survey.base is not None else []
    roles += [("model", inert(f"{entry.weight:g}")) for entry in plan.recipe.models]
    parts = zip(roles, plan.survey.checkpoints, licences, strict=True)
    rows = [
        [role, inert(part.label), weight, licence or "unknown", f"`{part.pin_content}`"]
        for (role, weight), part, licence in parts
    ]
    lines = table(("role", "model", "weight", "licence", "content (sha256 of the leaves)"), rows)
    copied = f"\n\n{len(plan.copied)} leaves are taken over unmerged." if plan.copied else ""
    return f"{lines}{copied}\n\nObey the licence of each part."


def _versions() -> str:
    found = [("Basin", __version__), ("Python", ".".join(map(str, sys.version_info[:3])))]
    found += [(name, metadata.version(name)) for name in _PACKAGES]
    return ", ".join(f"{name} {version}" for name, version in found)
