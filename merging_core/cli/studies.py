"""A command for every study, made of its record: what it takes becomes arguments and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from merging_core.analysis.studies.contract import Study
from merging_core.cli.geometry import ask
from merging_core.cli.options import AsJson, Family
from merging_core.methods.info import ParameterInfo

__all__ = ["study_command"]

_PREFIX = "parameter_"
"""What names of a study's own parameters begin with among the arguments, so that none meets another."""

_MODELS = Annotated[
    list[str],
    typer.Argument(metavar="MODELS", help="Checkpoints (zoo:…, hub:… or file:…) and recipes' files, in order."),
]
_BASE = Annotated[str | None, typer.Option(help="The models' base; by default the family's.")]
_TASKS = Annotated[
    list[str] | None, typer.Option("--task", help="A task of the family, such as digits; may be given again.")
]
_PREVIEW = Annotated[bool, typer.Option("--preview", help="Measure the preview of each split only.")]
_SEED = Annotated[int, typer.Option(min=0, help="Of everything that is drawn by chance.")]
_OUT = Annotated[
    Path | None,
    typer.Option(help="A folder for numbers.json, a CSV for each table, and what was measured, to go on with."),
]
_TABLES = Annotated[list[str] | None, typer.Option("--table", help="Print this table only; may be given again.")]


def study_command(info: Study) -> Callable[..., None]:
    """Return the function of a study's command, with the signature that its help and its options are made from."""

    def command(**given: Any) -> None:
        params = {
            name.removeprefix(_PREFIX): value
            for name, value in given.items()
            if name.startswith(_PREFIX) and value is not None
        }
        ask(info, params, **{name: value for name, value in given.items() if not name.startswith(_PREFIX)})

    found = [_parameter("models", _MODELS, inspect.Parameter.empty)]
    found += [_parameter(f"{_PREFIX}{one.name}", _option(one), None) for one in info.parameters]
    found += [_parameter("base", _BASE, None), _parameter("family", Family, None)]
    if info.measures:
        default = " and ".join(info.splits)
        said = f"validation or train, never test, which is for reporting; by default {default}. May be given again."
        splits = Annotated[list[str] | None, typer.Option("--split", help=said)]
        found += [_parameter("task", _TASKS, None), _parameter("split", splits, None)]
        found.append(_parameter("preview", _PREVIEW, False))
    found += [_parameter("seed", _SEED, 0), _parameter("table", _TABLES, None)]
    found += [_parameter("out", _OUT, None), _parameter("as_json", AsJson, False)]
    command.__name__ = info.name
    command.__doc__ = f"{info.summary}\n\n{info.formula}"
    command.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in found}
    return command


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _option(info: ParameterInfo) -> Any:
    """Return the annotation of one parameter: nothing is given unless the option is, so that its record fills it in."""
    name = f"--{info.name.replace('_', '-')}"
    about: dict[str, Any] = {"help": _help(info), "show_default": _shown(info)}
    if info.kind == "switch":
        return Annotated[bool | None, typer.Option(f"{name}/--no-{name[2:]}", **about)]
    if info.kind == "choice":
        return Annotated[Literal[info.choices] | None, typer.Option(name, **about)]
    if info.kind == "curve":
        return Annotated[str | None, typer.Option(name, metavar="NUMBERS", parser=str, **about)]
    kind = int if info.kind == "integer" else float
    bounds = {"min": _whole(info.minimum, kind), "max": _whole(info.maximum, kind)}
    return Annotated[kind | None, typer.Option(name, **bounds, **about)]


def _help(info: ParameterInfo) -> str:
    more = ""
    if info.only_when is not None:
        other, *values = info.only_when
        more = f" With {other.replace('_', '-')} {' or '.join(str(value) for value in values)} only."
    if info.kind == "curve":
        more = f" Numbers with commas between them, in {info.range()}.{more}"
    return f"{info.help}{f' In {info.unit}.' if info.unit else ''}{more}"


def _shown(info: ParameterInfo) -> str:
    default = info.default
    if isinstance(default, tuple):
        return ",".join(f"{number:g}" for number in default)
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _whole(bound: float | None, kind: type) -> Any:
    return None if bound is None else kind(bound)
