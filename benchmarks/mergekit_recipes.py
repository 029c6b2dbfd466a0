"""Carry out mergekit's recipes with mergekit, and here after importing them, and compare every number.

    python -m benchmarks.mergekit_recipes [--peers FOLDER] [--seed 0] [--only ties] [--write]

Random Llama checkpoints of a few ten thousand numbers (float32, three blocks) are merged by both sides from the same
text. For each recipe the largest difference of a number is printed, as a part of the largest change in its leaf, and
how many numbers differ by more than 10⁻⁴ of that. Where coins are tossed, Σ|change| of each leaf is compared.

mergekit lives in the environment of `benchmarks.agreement`. `--write` puts the table into docs/mergekit.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from benchmarks.agreement import FEW, FOLDER, ROOT, python_of
from benchmarks.mergekit_cases import NAMES, RECIPES, recipe
from merging_core.checkpoints import Catalog
from merging_core.checkpoints.zoo import Zoo
from merging_core.engines import LiveEngine
from merging_core.recipes.mergekit import import_mergekit

BLOCKS, WIDE, INNER, WORDS = 3, 32, 48, 60
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDE,
    "intermediate_size": INNER,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": WORDS,
    "tie_word_embeddings": False,
}
COINS = {
    "dare_linear, coins": recipe("dare_linear", 1, density=0.5),
    "della_linear, coins": recipe("della_linear", 1, density=0.5),
}
START, END = "<!-- measured -->\n", "<!-- end -->"


@dataclass(frozen=True)
class Outcome:
    """What became of one recipe on both sides."""

    name: str
    largest: float
    differing: int
    compared: int
    refused: str = ""


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the leaves of the checkpoints."""
    block = {
        **{f"self_attn.{one}_proj.weight": (WIDE, WIDE) for one in "qkvo"},
        **{f"mlp.{one}_proj.weight": (INNER, WIDE) for one in ("gate", "up")},
        "mlp.down_proj.weight": (WIDE, INNER),
        "input_layernorm.weight": (WIDE,),
        "post_attention_layernorm.weight": (WIDE,),
    }
    inside = {f"model.layers.{at}.{name}": shape for at in range(BLOCKS) for name, shape in block.items()}
    ends = {"model.embed_tokens.weight": (WORDS, WIDE), "model.norm.weight": (WIDE,), "lm_head.weight": (WORDS, WIDE)}
    return {**ends, **inside}


def checkpoints(folder: Path, seed: int) -> None:
    """Write a base and three experts that share a part of their changes."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(size: float) -> dict[str, torch.Tensor]:
        return {name: size * torch.randn(shape, generator=generator) for name, shape in shapes().items()}

    base, common = drawn(1.0), drawn(0.1)
    for name in NAMES:
        own = drawn(0.1)
        made = {leaf: base[leaf] + common[leaf] + own[leaf] for leaf in base} if name != "base" else base
        (folder / name).mkdir()
        save_file(made, folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(json.dumps(CONFIG))


def compared(name: str, ours: Mapping[str, torch.Tensor], theirs: Path, origin: Mapping[str, torch.Tensor]) -> Outcome:
    """Compare both results leaf by leaf."""
    if (theirs / "refused.txt").exists():
        return Outcome(name, float("nan"), 0, 0, (theirs / "refused.txt").read_text())
    largest, differing, total = 0.0, 0, 0
    for leaf, tensor in load_file(theirs / "model.safetensors").items():
        mine, other = ours[leaf].double() - origin[leaf].double(), tensor.double() - origin[leaf].double()
        if name in COINS:
            mine, other = mine.abs().sum().view(1), other.abs().sum().view(1)
        size = torch.maximum(mine.abs(), other.abs()).max().clamp(min=1e-30)
        apart = (mine - other).abs() / size
        largest, differing = max(largest, float(apart.max())), differing + int((apart > FEW).sum())
        total += mine.numel()
    return Outcome(name, largest, differing, total)


def outcomes(asked: Mapping[str, Any], peers: Path, seed: int) -> list[Outcome]:
    """Carry out each recipe on both sides."""
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        checkpoints(folder, seed)
        jobs = [
            {"recipe": {**given, "dtype": "float32"}, "out": str(folder / f"out{place}"), "seed": seed}
            for place, given in enumerate(asked.values())
        ]
        (folder / "jobs.json").write_text(json.dumps(jobs))
        script = ROOT / "benchmarks" / "peers" / "recipes_of_mergekit.py"
        command = [python_of(peers), str(script), "jobs.json"]
        subprocess.run(command, check=True, cwd=folder, capture_output=True)
        engine = LiveEngine(Catalog(Zoo(folder, (), {}, {}, {}), allow_files=True), "cpu")
        origin, found = load_file(folder / "base" / "model.safetensors"), []
        for name, job in zip(asked, jobs, strict=True):
            ours = engine.merge(import_mergekit(yaml.safe_dump(job["recipe"]).encode(), folder).recipe)
            found.append(compared(name, ours.weights, Path(str(job["out"])), origin))
        return found


def table(found: list[Outcome]) -> str:
    """Return the outcomes as Markdown."""
    rows = ["| recipe | largest difference | differing |", "| --- | --- | --- |"]
    for one in found:
        said = one.refused.splitlines()[0][:80] if one.refused else f"{one.differing} of {one.compared}"
        rows.append(f"| {one.name} | {'refused' if one.refused else f'{one.largest:.1e}'} | {said} |")
    return "\n".join(rows) + "\n"


def main(arguments: list[str]) -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the names of recipes")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    chosen = {name: given for name, given in {**RECIPES, **COINS}.items() if asked.only in name}
    made = table(outcomes(chosen, asked.peers, asked.seed))
    sys.stdout.write(made)
    if asked.write:
        page = ROOT / "docs" / "mergekit.md"
        before, _, rest = page.read_text(encoding="utf-8").partition(START)
        page.write_text(before + START + made + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
