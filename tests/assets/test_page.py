"""The numbers of docs/zoo.md are those of the manifest."""

from __future__ import annotations

import json
from pathlib import Path

from assets.build.page import with_tables
from merging_core.checkpoints.zoo import embedded_zoo_root


def test_the_page_shows_the_manifest() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "zoo.md").read_text(encoding="utf-8")
    manifest = json.loads((embedded_zoo_root() / "manifest.json").read_text(encoding="utf-8"))
    assert with_tables(page, manifest) == page, "run python -m assets.build page"
