"""Compare merges with those of mergekit and FusionBench, on checkpoints that are made for it.

    python -m benchmarks.agreement [--peers FOLDER] [--seed 0] [--only ties] [--write]

Random checkpoints of a few thousand numbers are merged by this project and by the other packages, with the same
settings. For each merge the largest difference of a number is printed, beside the largest change in its leaf, and how
many numbers differ by more than 10⁻⁴ of that. Where the sides are meant to differ, it says so.

The other packages live in an environment of their own, which the command makes in FOLDER (about 2 GB) when it is not
there; they are never a dependency. `--write` writes docs/agreement.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.agreement_cases import CASES, PEERS, Case
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.recipes.parse import parse_recipe

ROOT = Path(__file__).parent.parent
FOLDER = Path.home() / ".cache" / "basin-peers"
SHAPES = {
    "embed.weight": (40, 16),
    "patch.weight": (6, 3, 2, 2),
    "blocks.0.attention.weight": (16, 16),
    "blocks.0.up.weight": (24, 16),
    "blocks.0.up.bias": (24,),
    "blocks.1.down.weight": (16, 24),
    "norm.weight": (16,),
    "single": (1,),
}
FEW = 1e-4
"""Differences up to this part of a leaf's largest change are rounding."""


@dataclass(frozen=True)
class Outcome:
    """What became of one merge on both sides."""

    case: Case
    largest: float
    """The largest difference, as a part of the largest change of its leaf; NaN if the other side refused."""
    differing: int
    compared: int
    words: str = ""
    """What the other side said when it refused."""


def checkpoints(folder: Path, seed: int) -> tuple[str, tuple[str, ...]]:
    """Write a base and three experts that share a part of their changes; return their files."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(size: float) -> dict[str, torch.Tensor]:
        return {name: size * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}

    base, common = drawn(1.0), drawn(0.1)
    experts = [drawn(0.1) for _ in range(3)]
    made = {"base": base} | {
        f"expert{place}": {name: base[name] + common[name] + own[name] for name in base}
        for place, own in enumerate(experts)
    }
    for name, leaves in made.items():
        (folder / name).mkdir(parents=True)
        save_file(leaves, folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text("{}")
    files = [str(folder / name / "model.safetensors") for name in made]
    return files[0], tuple(files[1:])


def job(case: Case, place: int, folder: Path, base: str, experts: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Return what the other side is asked to do."""
    chosen = experts[: len(case.weights)]
    return {
        "method": case.theirs,
        "parameters": case.settings,
        "models": list(chosen),
        "base": chosen[0] if case.first_is_base else base if case.base else None,
        "out": str(folder / f"{place}.safetensors"),
        "seed": seed,
        "aside": list(case.aside),
    }


def merged(engine: LiveEngine, case: Case, base: str, experts: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Return our merge."""
    refs = [f"file:{Path(file).parent}" for file in experts[: len(case.weights)]]
    given = {
        "version": 1,
        "base": f"file:{Path(base).parent}" if case.base else None,
        "models": [{"ref": ref, "weight": weight} for ref, weight in zip(refs, case.weights, strict=True)],
        "method": {"name": case.ours, "params": case.params},
        "lambda": case.scale,
    }
    return engine.merge(parse_recipe(given)).weights


def compared(case: Case, ours: dict[str, torch.Tensor], theirs: Path, origin: dict[str, torch.Tensor]) -> Outcome:
    """Compare both results leaf by leaf."""
    refused = theirs.with_suffix(".txt")
    if refused.exists():
        return Outcome(case, float("nan"), 0, 0, refused.read_text())
    largest, differing, total = 0.0, 0, 0
    for name, leaf in load_file(theirs).items():
        mine, other = ours[name].double() - origin[name].double(), leaf.double() - origin[name].double()
        if case.compare == "norm":
            mine, other = mine.abs().sum().view(1), other.abs().sum().view(1)
        elif case.compare == "survivors":
            both = (mine != 0) & (other != 0)
            mine, other = mine[both], other[both]
        if not mine.numel():
            continue
        apart = (mine - other).abs() / other.abs().max().clamp(min=1e-30)
        largest = max(largest, float(apart.max()))
        differing += int((apart > FEW).sum())
        total += mine.numel()
    return Outcome(case, largest, differing, total)


def python_of(folder: Path) -> str:
    """Return the interpreter of the environment that has the other packages; it is made if it is not there."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        wanted = [f"torch=={torch.__version__.split('+')[0]}", *PEERS.values()]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "made").touch()
    return str(python)


def outcomes(cases: Iterable[Case], peers: Path, seed: int) -> Iterator[Outcome]:
    """Carry out each merge on both sides."""
    chosen = list(enumerate(cases))
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        base, experts = checkpoints(folder, seed)
        for peer in PEERS:
            jobs = [job(case, place, folder, base, experts, seed) for place, case in chosen if case.peer == peer]
            if not jobs:
                continue
            asked = folder / f"{peer}.json"
            asked.write_text(json.dumps(jobs))
            script = ROOT / "benchmarks" / "peers" / f"with_{peer}.py"
            subprocess.run([python_of(peers), str(script), str(asked)], check=True, stderr=subprocess.DEVNULL)
        engine = LiveEngine(Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True), "cpu")
        origin = load_file(base)
        for place, case in chosen:
            ours = merged(engine, case, base, experts)
            yield compared(case, ours, folder / f"{place}.safetensors", origin)


def said(case: Case) -> str:
    """Return our settings in one line: parameters, weights that are not all 1, and λ."""
    parts = [f"{name} {value}" for name, value in case.params.items()]
    if set(case.weights) != {1.0}:
        parts.append("weights " + " ".join(f"{weight:g}" for weight in case.weights))
    return ", ".join([*parts, *([f"λ {case.scale:g}"] if case.scale != 1.0 else [])]) or "—"


def rows(found: Iterable[Outcome]) -> Iterator[tuple[str, ...]]:
    """Return what the table says of each merge."""
    for one in found:
        case = one.case
        how = {"all": "all numbers", "survivors": "what survives", "norm": "Σ of changes"}[case.compare]
        apart = "refused" if one.words else f"{one.largest:.1e}"
        count = one.words.splitlines()[0][:60] if one.words else f"{one.differing} of {one.compared}"
        theirs = case.theirs if case.peer == "mergekit" else f"FusionBench {case.theirs}"
        yield case.ours, said(case), theirs, how, apart, count, case.differs or "—"


HEAD = ("method", "settings", "the other side", "compared", "largest difference", "differing", "meant to differ")
RULE = ("---",) * len(HEAD)
INTRODUCTION = """\
# Agreement with other implementations

Written by `python -m benchmarks.agreement --write`: random checkpoints (seed {seed}, float32, {leaves} leaves of up to
four dimensions, three experts that share a part of their changes) are merged here and by mergekit and FusionBench, with
the same settings, each package in an environment of its own.

*Largest difference* is that of any number, as a part of the largest change of its leaf; *differing* numbers do so by
more than {few:g} of it. What is left to chance is compared where chance has no say: what survives on both sides, or the
sum of |τ| of each leaf.

"""


def page(found: list[Outcome], seed: int) -> str:
    """Return docs/agreement.md."""
    tables = []
    for peer, installed in PEERS.items():
        mine = rows(one for one in found if one.case.peer == peer)
        tables.append("\n".join([f"## {installed.replace('==', ' ')}\n", _line(HEAD), _line(RULE), *map(_line, mine)]))
    return INTRODUCTION.format(seed=seed, leaves=len(SHAPES), few=FEW) + "\n\n".join(tables) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: list[str]) -> None:
    """Print one line for each merge, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="our names of methods")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    found = list(
        outcomes((case for case in CASES if not asked.only or case.ours in asked.only), asked.peers, asked.seed)
    )
    for ours, settings, theirs, _, apart, count, differs in rows(found):
        sys.stdout.write(
            f"{ours:<16} {apart:>8} {count:>14}  {theirs} ({settings}){'' if differs == '—' else '; ' + differs}\n"
        )
    if asked.write:
        (ROOT / "docs" / "agreement.md").write_text(page(found, asked.seed), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
