"""Carry out recipes with mergekit, in an environment that has it: `python recipes_of_mergekit.py JOBS.json`.

A job is `{"recipe", "out", "seed"}`; relative paths begin in the present folder. A recipe that mergekit refuses leaves
its words in `refused.txt` where its result would be.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge


def carry_out(job: dict[str, Any]) -> None:
    """Merge and write one checkpoint."""
    options = MergeOptions(copy_tokenizer=False, random_seed=job["seed"], write_model_card=False, quiet=True)
    run_merge(MergeConfiguration.model_validate(job["recipe"]), job["out"], options)


def main() -> None:
    """Carry out every job of the file that the command names."""
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            carry_out(job)
        except Exception as error:  # noqa: BLE001
            Path(job["out"]).mkdir(parents=True, exist_ok=True)
            (Path(job["out"]) / "refused.txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
