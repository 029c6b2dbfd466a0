"""An exported folder as it goes to the Hub: its files, and what it says of itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merging_core.cards.licences import hindrances, licences_in, with_licence
from merging_core.checkpoints.companions import COMPANIONS
from merging_core.checkpoints.learned import BESIDE_NAME
from merging_core.checkpoints.templates import TEMPLATES, is_template
from merging_core.errors import CheckpointError, HubError, Problem
from merging_core.export.travelling import for_the_hub

__all__ = ["WEIGHTS", "Exported", "read_exported"]

WEIGHTS = re.compile(r"[^/]+\.safetensors(?:\.index\.json)?")
"""Files of a checkpoint that must not stand beside those of another."""
_CARD = "README.md"
_RECIPE = "recipe.json"
_CONFIG = "config.json"
_TOKENIZER = "tokenizer_config.json"
_NEEDED = (_CARD, _CONFIG, _RECIPE)
_KINDS = (".safetensors", ".json", ".md", ".png", ".svg", ".csv", ".txt", ".yaml", ".jinja",
          *{Path(name).suffix for name in COMPANIONS}, Path(BESIDE_NAME).suffix)  # fmt: skip
_LARGEST_TEXT = 1 << 20


@dataclass(frozen=True)
class Exported:
    """The files of a whole export, by name, and the texts that are read before they go."""

    files: Mapping[str, Path]
    card: str
    recipe: str
    config: str

    @property
    def nbytes(self) -> int:
        """Return the bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def licences(self) -> dict[str, str | None]:
        """Return the licence of each part, by its name; a part that the card is silent about is unknown.

        Raises: `CheckpointError` if there is no recipe.
        """
        licences = licences_in(self.card)
        try:
            found = json.loads(self.recipe)
            parts = {str(entry["ref"]) for entry in found["models"]} | (
                {str(found["base"])} if found.get("base") else set()
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            must = "recipe.json holds the recipe of the merge"
            raise CheckpointError(Problem(must, "something else", _RECIPE, "export the merge again")) from None
        return licences if len(licences) >= max(1, len(parts)) else {**licences, _CARD: None}

    def to_send(self, repo_id: str, licence: str | None) -> dict[str, Path | bytes]:
        """Return what is uploaded; `licence` is the one to publish under where those of the parts do not do.

        Raises: `HubError` for the licences of the parts, `RecipeError` for the name of a licence, `CheckpointError`.
        """
        card = self.card if licence is None else with_licence(self.card, licence)
        problems = hindrances(self.licences) if licence is None else ()
        if problems:
            raise HubError(*problems)
        given = {_CARD: self.card, _RECIPE: self.recipe, _CONFIG: self.config}
        if _TOKENIZER in self.files:
            given[_TOKENIZER] = _text(self.files[_TOKENIZER], COMPANIONS[_TOKENIZER])
        texts = {**given, _CARD: card}
        changed = {name: text for name, text in for_the_hub(texts, repo_id).items() if text != given[name]}
        return {**self.files, **{name: text.encode() for name, text in changed.items()}}


def read_exported(folder: Path) -> Exported:
    """Read an exported folder.

    Raises: `CheckpointError` if it lacks a file, or holds what no export writes.
    """
    files = _listed(folder)
    return Exported(files, _text(files[_CARD]), _text(files[_RECIPE]), _text(files[_CONFIG]))


def _listed(folder: Path) -> dict[str, Path]:
    """List the files of an export; refuse a folder that lacks one, or holds what no export writes."""
    if not folder.is_dir():
        problem = Problem("an exported folder is there", "none", folder.name, "export a merge first")
        raise CheckpointError(problem)
    entries = {path.name: path for path in sorted(folder.iterdir()) if path.name != TEMPLATES or path.is_symlink()}
    inside = folder / TEMPLATES
    templates = sorted(inside.iterdir()) if inside.is_dir() and not inside.is_symlink() else []
    entries |= {f"{TEMPLATES}/{path.name}": path for path in templates}
    missing = [name for name in _NEEDED if name not in entries]
    if not any(name.endswith(".safetensors") for name in entries):
        missing.append("weights (.safetensors)")
    problems = []
    if missing:
        must, fix = "an exported folder is whole", "export the merge again"
        problems.append(Problem(must, f"one without {', '.join(missing)}", folder.name, fix))
    strange = [
        name
        for name, path in entries.items()
        if path.is_symlink()
        or not path.is_file()
        or path.suffix not in _KINDS
        or name.startswith(".")
        or ("/" in name and not is_template(name))
    ]
    if strange:
        must = "a published folder holds what an export writes, and nothing else"
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        problems.append(Problem(must, ", ".join(strange[:3]) + more, folder.name, "take it out"))
    if problems:
        raise CheckpointError(*problems)
    return entries


def _text(path: Path, most: int = _LARGEST_TEXT) -> str:
    if path.stat().st_size > most:
        must = f"{path.name} has at most {most} bytes"
        raise CheckpointError(Problem(must, "more", path.name, "export the merge again"))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(Problem("the file is UTF-8 text", "other bytes", path.name)) from None
