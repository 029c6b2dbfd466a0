"""How two models differ: `diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from merging_core.cli.options import AsJson
from merging_core.cli.output import answer

if TYPE_CHECKING:
    from merging_core.analysis.difference import Difference
    from merging_core.analysis.sums import Sums

__all__ = ["diff"]

_LISTED = 8
"""Leaves that are not compared and are told one by one; the rest are counted."""

_HEADER = ("leaves", "elements", "‖A−B‖", "÷ ‖A‖", "cosine", "largest", "equal %")
_TASK_HEADER = ("‖A−base‖", "‖B−base‖", "cosine τ", "conflict %")
_CSV_HEADER = (
    "row,name,depth,leaves,elements,norm_a,norm_b,norm,relative,cosine,largest,equal_share,"
    "task_norm_a,task_norm_b,task_cosine,sign_conflict,note"
)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A checkpoint: zoo:…, hub:…, local:… or file:….")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another; leaves of the same name and shape are compared.")],
    base: Annotated[
        str | None, typer.Option(help="What both came from: norms, cosine and sign conflict of the task vectors too.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Leaves in the table: those that differ most.")] = 12,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line for each depth and leaf instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two checkpoints: norms, cosines and sign conflicts, by depth and leaf by leaf."""
    from merging_core.analysis.difference import check_difference, difference
    from merging_core.cli.downloads import opened
    from merging_core.cli.progress import ProgressLine
    from merging_core.cli.targets import open_bench
    from merging_core.errors import PlanError, Problem

    if as_csv and as_json:
        raise PlanError(Problem("an answer has one form", "--csv and --json", "diff", "leave one out"))
    asked = [a, b, *([] if base is None else [base])]
    first, second, *origin = opened(asked, open_bench().catalog, lambda found: check_difference(*found))
    with ProgressLine() as progress:
        found = difference(first, second, origin[0] if origin else None, progress=progress)
    answer(_csv(found) if as_csv else _tables(found, top), found.as_json(), as_json=as_json)


def _tables(found: Difference, top: int) -> str:
    from merging_core.cli.tables import aligned

    with_base = found.base is not None
    header = (*_HEADER, *(_TASK_HEADER if with_base else ()))
    rows = [(row.label, str(row.leaves), *_cells(row.sums, with_base)) for row in found.depths]
    whole = ("whole", str(len(found.leaves)), *_cells(found.whole, with_base))
    models = f"A {found.a}, B {found.b}" + (f", base {found.base}" if with_base else "")
    sections = [f"{models}\n{aligned(('depth', *header), [*rows, whole], right=header)}"]
    most = found.most_different(top)
    if most:
        right = header[1:]
        leaves = [(leaf.name, leaf.label, *_cells(leaf.sums, with_base)) for leaf in most]
        sections.append(f"differ most:\n{aligned(('leaf', 'depth', *right), leaves, right=right)}")
    elif top:
        sections.append("no floating leaf differs")
    sections += _rest(found)
    return "\n\n".join(sections)


def _rest(found: Difference) -> list[str]:
    sections = []
    if found.counted:
        unequal = [leaf for leaf in found.counted if leaf.equal < leaf.elements]
        lines = [f"{leaf.name}: {leaf.elements - leaf.equal:,} of {leaf.elements:,} differ" for leaf in unequal]
        equal = f"{len(found.counted) - len(unequal)} equal in both"
        sections.append(_listed(f"leaves of integers or booleans: {len(found.counted)}, {equal}", lines))
    if found.unshared:
        lines = [f"{leaf.name}: {leaf.reason}" for leaf in found.unshared]
        sections.append(_listed(f"not compared: {len(lines)} leaves", lines))
    if found.without_base:
        lines = [f"{leaf.name}: {leaf.reason}" for leaf in found.without_base]
        sections.append(_listed(f"without task vectors: {len(lines)} leaves", lines))
    if found.notes:
        sections.append(_listed("the configurations differ:", found.notes))
    return sections


def _listed(sentence: str, lines: list[str] | tuple[str, ...]) -> str:
    more = [f"  and {len(lines) - _LISTED} more (--json names them all)"] if len(lines) > _LISTED else []
    return "\n".join([sentence, *(f"  {line}" for line in lines[:_LISTED]), *more])


def _cells(sums: Sums, with_base: bool) -> tuple[str, ...]:
    cells = (
        f"{sums.elements:,}",
        f"{sums.norm:.4g}",
        _number(sums.relative),
        _cosine(sums.cosine),
        f"{sums.largest:.3g}",
        f"{100 * sums.equal_share:.2f}",
    )
    if not with_base:
        return cells
    if sums.task is None:
        return (*cells, "", "", "", "")
    a, b = sums.task.norms
    return (*cells, f"{a:.4g}", f"{b:.4g}", _cosine(sums.task.cosine), f"{100 * sums.task.sign_conflict:.1f}")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _cosine(value: float | None) -> str:
    """Return a cosine with as many digits as tell it from 1.

    >>> _cosine(0.5), _cosine(0.99999), _cosine(-1e-9), _cosine(None)
    ('0.5000', '1 − 1.00e-05', '0.0000', 'none')
    """
    if value is None:
        return "none"
    return f"1 − {1 - value:.2e}" if 0.999 < value < 1 else f"{round(value, 4) + 0.0:.4f}"


def _csv(found: Difference) -> str:
    import csv
    import io

    text = io.StringIO()
    text.write(f"{_CSV_HEADER}\n")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("whole", "", "", len(found.leaves), *_values(found.whole), ""))
    for row in found.depths:
        lines.writerow(("depth", row.label, row.label, row.leaves, *_values(row.sums), ""))
    for leaf in found.leaves:
        lines.writerow(("leaf", _inert(leaf.name), leaf.label, 1, *_values(leaf.sums), ""))
    empty = ("",) * 10
    for counted in found.counted:
        share = counted.equal / counted.elements if counted.elements else 1.0
        numbers = (counted.elements, *empty[:5], "", f"{share:.17g}", *empty[:4])
        lines.writerow(("not floating", _inert(counted.name), "", 1, *numbers, counted.dtype))
    for kind, leaves in (("not compared", found.unshared), ("without base", found.without_base)):
        for one in leaves:
            lines.writerow((kind, _inert(one.name), "", 1, *empty, "", "", one.reason))
    return text.getvalue().rstrip("\n")


def _inert(name: str) -> str:
    """Return a name that a spreadsheet takes for no formula.

    >>> _inert("=w"), _inert("w")
    ("'=w", 'w')
    """
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def _values(sums: Sums) -> tuple[str, ...]:
    task: tuple[float | None, ...] = (None,) * 4
    if sums.task is not None:
        task = (*sums.task.norms, sums.task.cosine, sums.task.sign_conflict)
    numbers = (*sums.norms, sums.norm, sums.relative, sums.cosine, sums.largest, sums.equal_share, *task)
    return (str(sums.elements), *("" if number is None else f"{number:.17g}" for number in numbers))
