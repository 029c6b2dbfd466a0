"""Merges that are killed at random moments, several times over, end with the bytes of one that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.engines.world import write

ROOT = Path(__file__).resolve().parents[2]
ROWS, WIDTH, DEEP = 1500, 64, 12
EMBEDDING, LAYER = "model.embed_tokens.weight", "model.layers.{}.mlp.up_proj"
WIDE = 256
TOKENS = [f"t{row}" for row in range(ROWS)]
METHODS = ("linear", "ties", "dare_ties", "iso_c")
KINDS = ("whole models", "an adapter", "rows by token")


def model(folder: Path, seed: int, tokens: list[str]) -> str:
    generator = torch.Generator().manual_seed(seed)
    shapes = {EMBEDDING: (len(tokens), WIDTH), **{f"{LAYER.format(at)}.weight": (WIDE, WIDTH) for at in range(DEEP)}}
    shapes["model.norm.weight"] = (WIDTH,)
    tensors = {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes.items()}
    config = {"model_type": "llama", "hidden_size": WIDTH, "vocab_size": len(tokens), "tie_word_embeddings": True}
    ref = write(folder, tensors, config)
    vocabulary = {token: row for row, token in enumerate(tokens)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return ref


def adapter(folder: Path) -> str:
    folder.mkdir()
    generator = torch.Generator().manual_seed(9)
    factors = {}
    for at in range(DEEP):
        for name, shape in (("A", (4, WIDTH)), ("B", (WIDE, 4))):
            leaf = f"base_model.model.{LAYER.format(at)}.lora_{name}.weight"
            factors[leaf] = torch.randn(shape, generator=generator)
    save_file(factors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 4}))
    return f"file:{folder}"


def recipe(folder: Path, method: str, kind: str) -> dict[str, object]:
    shuffled = random.Random(1).sample(TOKENS, ROWS)
    others = [[*shuffled, "new"], TOKENS[:-3]] if kind == "rows by token" else [TOKENS, TOKENS]
    base, *experts = (model(folder / f"m{at}", at, tokens) for at, tokens in enumerate([TOKENS, *others]))
    experts += [adapter(folder / "lora")] if kind == "an adapter" else []
    more = {"vocabulary": "by token"} if kind == "rows by token" else {}
    models = [{"ref": ref} for ref in experts]
    return {"version": 1, "base": base, "models": models, "method": {"name": method}, "dtype": "bfloat16", **more}


@pytest.mark.slow
@pytest.mark.parametrize("shard_bytes", [None, 60_000], ids=["one file", "shards"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_a_merge_killed_at_random_moments_ends_with_the_same_bytes(
    method: str, kind: str, shard_bytes: int | None, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "out").mkdir()
    seed = secrets.randbits(32)
    rounds = int(os.environ.get("BASIN_KILL_ROUNDS", "6"))
    job = {"recipe": recipe(tmp_path / "models", method, kind), "shard_bytes": shard_bytes, "seed": seed}
    command = [
        sys.executable,
        "-m",
        "tests.engines.killing",
        json.dumps({**job, "folder": str(tmp_path / "out"), "rounds": rounds}),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}\n{done.stderr}"
    told = json.loads(done.stdout)
    print(f"\n{method}, {kind}, {shard_bytes}: {told}")
    assert all(0 < share < 1 for share in told["resumed"])
