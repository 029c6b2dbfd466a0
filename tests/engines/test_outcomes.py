"""What becomes of each leaf: everything in the output is counted once, with its reason."""

from __future__ import annotations

from pathlib import Path

import torch

from merging_core.checkpoints import Catalog
from merging_core.engines import Plan, make_plan
from merging_core.recipes.parse import parse_recipe
from tests.engines.world import write

TIED = {"model_type": "llama", "tie_word_embeddings": True}


def planned(tmp_path: Path, catalog: Catalog) -> Plan:
    embedding = torch.zeros(3, 2)
    own = {"model.layers.0.w": torch.zeros(4), "position_ids": torch.arange(5), "mask": torch.tensor([True])}
    base = own | {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding.clone()}
    expert = own | {"model.embed_tokens.weight": embedding.bfloat16(), "seen": torch.zeros(2, dtype=torch.uint8)}
    del expert["position_ids"]
    refs = [write(tmp_path / "base", base, TIED), write(tmp_path / "expert", expert, TIED)]
    given = {"version": 1, "base": refs[0], "models": [{"ref": refs[1]}], "method": {"name": "linear"}}
    return make_plan(parse_recipe({**given, "dtype": "bfloat16"}), catalog)


def test_a_plan_says_what_becomes_of_every_leaf_and_why(tmp_path: Path, catalog: Catalog) -> None:
    plan = planned(tmp_path, catalog)
    told = [(it["what"], it["reason"], it["leaves"], it["elements"], it["bytes"]) for it in plan.as_json()["leaves"]]
    assert told == [
        ("merged", "stored as BF16 and F32, written as BF16", ["model.embed_tokens.weight"], 6, 12),
        ("merged", "stored as F32, written as BF16", ["model.layers.0.w"], 4, 8),
        ("copied", "BOOL is not averaged; taken from the base", ["mask"], 1, 1),
        ("copied", "I64 is not averaged; taken from the base", ["position_ids"], 5, 40),
        (
            "tied",
            "in file:base it is a copy of model.embed_tokens.weight, to which the configuration ties it; written once",
            ["lm_head.weight"], 6, 0,
        ),
        ("left out", "only in file:expert; U8 is not averaged", ["seen"], 2, 0),
    ]  # fmt: skip
    assert sum(outcome.nbytes for outcome in plan.outcomes) == plan.output_bytes


def test_the_table_has_a_line_for_each_and_names_what_is_not_merged(tmp_path: Path, catalog: Catalog) -> None:
    table = planned(tmp_path, catalog).table().splitlines()
    at = table.index("merged   1 leaf, 4 elements, 8 B: stored as F32, written as BF16")
    assert table[at + 1 : at + 3] == [
        "copied   1 leaf, 1 element, 1 B: BOOL is not averaged; taken from the base",
        "         mask",
    ]
    tied = next(line for line in table if line.startswith("tied"))
    assert tied.startswith("tied     1 leaf, 6 elements, 0 B: in file:base it is a copy of model.embed_tokens.weight")
