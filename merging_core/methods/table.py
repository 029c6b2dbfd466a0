"""The page about methods, written from the registry and from recorded comparisons; `make docs` writes it again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from merging_core.masks.info import MaskInfo
from merging_core.masks.registry import masks
from merging_core.methods.contract import MethodInfo
from merging_core.methods.info import Description, ParameterInfo
from merging_core.methods.recorded import Document, read, section, sentence
from merging_core.methods.registry import methods
from merging_core.scaling.info import ScalingInfo
from merging_core.scaling.registry import scalings

__all__ = ["markdown"]

_INTRODUCTION = """\
# Methods, masks and layer scalings

<!-- Written by `make docs`; a test fails when it is stale. -->

θ₀ is the base, θₜ an expert, τₜ = θₜ − θ₀ its task vector, wₜ its weight, τ̂ₜ a task vector after its mask, ℓ the block
of a leaf among L. A task-vector method goes τₜ → mask → weight → combine → layer scaling → λ → + θ₀. A weight-domain
method combines the θₜ themselves; with a base, its result − θ₀ is what layer scaling and λ scale.

*Here* says what is otherwise than in the source. [Agreement](agreement.md) compares the methods number by number with
mergekit's and FusionBench's.

*Per model* says which numbers an expert may override, *per leaf* which may be another number in each leaf
([recipe.md](recipe.md#numbers-that-differ-between-leaves)); weights and λ always may.
"""


def markdown(
    method_infos: Sequence[MethodInfo],
    mask_infos: Sequence[MaskInfo],
    scaling_infos: Sequence[ScalingInfo],
    documents: Sequence[Document] = (),
) -> str:
    """Return the page as Markdown: one table for each kind, then each entry with its parameters, source and results.

    `documents`: recorded comparisons.

    >>> [line for line in markdown((), masks()[:1], ()).splitlines() if line.startswith("###")]
    ['### No mask (`none`)']
    """
    parts = [_INTRODUCTION, "## Methods\n", _method_table(method_infos)]
    parts += [section(documents, _rows)] if documents else []
    parts += [_entry(info, sentence(info.name, documents)) for info in method_infos]
    parts += ["## Masks\n", _table(mask_infos), *(_entry(info) for info in mask_infos)]
    parts += ["## Layer scalings\n", _table(scaling_infos), *(_entry(info) for info in scaling_infos)]
    return "\n".join(parts)


def _method_table(infos: Sequence[MethodInfo]) -> str:
    head = ("name", "title", "group", "works on", "mask", "models", "weights", "default λ", "needs", "seed matters")
    rows = [
        (
            f"`{info.name}`",
            info.title,
            info.group,
            "weights" if info.domain == "weight" else "task vectors",
            f"its own: `{info.owned_mask}`" if info.owned_mask else "any" if info.domain == "task_vector" else "none",
            _models(info.models),
            info.weights,
            f"{info.default_lambda:g}",
            _needs(info),
            "yes" if info.stochastic else "no",
        )
        for info in infos
    ]
    return _rows(head, rows)


def _needs(info: MethodInfo) -> str:
    needs = (("base", info.needs_base), ("data", info.needs_data))
    return " and ".join(name for name, needed in needs if needed) or "—"


def _table(infos: Sequence[Description]) -> str:
    return _rows(("name", "title", "what it does"), [(f"`{info.name}`", info.title, info.summary) for info in infos])


def _entry(info: Description, result: str = "") -> str:
    lines = [f"### {info.title} (`{info.name}`)", "", info.summary, "", f"    {info.formula}", ""]
    if info.parameters:
        head = ("parameter", "values", "default", "per model", "per leaf", "meaning")
        lines.append(_rows(head, [_parameter(parameter) for parameter in info.parameters]))
    source = info.source
    place = f", {source.place}" if source.place else ""
    lines.append(f"Source: {source.authors} ({source.year}), [{source.title}]({source.url}){place}.")
    if source.deviation:
        lines.append(f"Here: {source.deviation}.")
    if result:
        lines += ["", result]
    return "\n".join(lines) + "\n"


def _parameter(info: ParameterInfo) -> tuple[str, ...]:
    if info.kind == "choice":
        values = ", ".join(f"`{choice}`" for choice in info.choices)
    elif info.kind == "switch":
        values = "true, false"
    else:
        values = f"{info.lengths[0]} to {info.lengths[1]} of {info.range()}" if info.kind == "curve" else info.range()
    default = (
        ", ".join(f"{point:g}" for point in info.default) if isinstance(info.default, tuple) else str(info.default)
    )
    if info.kind == "switch":
        default = default.lower()
    other, *needed = info.only_when or ("",)
    only = f" Only when `{other}` is {' or '.join(f'`{value}`' for value in needed)}." if needed else ""
    per_model, per_leaf = ("yes" if may else "no" for may in (info.per_model, info.per_leaf))
    return f"`{info.name}`", values, default, per_model, per_leaf, info.help + only


def _models(models: tuple[int, int | None]) -> str:
    fewest, most = models
    if most is None:
        return f"{fewest} or more"
    return str(fewest) if fewest == most else f"{fewest} to {most}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    # A bar inside a cell, as in |τ|, would end it.
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown(methods(), masks(), scalings(), read([Path(name) for name in sys.argv[1:]])))
