"""The console examples of the pages: found, run, compared, and written again by `python -m tests.examples`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TOLERANCE = 0.02
"""How far a shown number may be off, relative to it, or 1 if that is more: processors round differently."""

FILES = {
    "wrong.yaml": """\
version: 1
base: zoo:tiny/base
models: [{ref: "zoo:tiny/digits"}, {ref: "zoo:tiny/digits"}]
method: {name: ties, params: {density: 1.5}}
""",
    "mergekit.yaml": """\
merge_method: ties
base_model: ada/base
models:
  - model: ada/digits
    parameters: {wieght: 0.5}
  - model: ada/letters
    parameters: {weight: true}
tokenizer_source: union
""",
}
"""What the examples find in the folder beside assets."""

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(?![\w.]*\w)")
_DURATION = re.compile(r"in \d+\.\d s")


@dataclass(frozen=True)
class Example:
    """One command on a page, and the output that the page shows."""

    page: str
    command: str
    shown: str

    def run(self, folder: Path) -> str:
        """Run it in a folder and return stdout and stderr; its own folder and the time taken are masked."""
        if not (folder / "assets").exists():
            (folder / "assets").symlink_to(ROOT / "assets")
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        program, *arguments = self.command.split()
        assert program == "python", self.command
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout + done.stderr).replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
        return _DURATION.sub("in 0.5 s", said)

    def agrees(self, said: str) -> bool:
        """Say whether the page shows this output: the same words, and numbers within the tolerance."""
        if _NUMBER.sub("#", said).split() != _NUMBER.sub("#", self.shown).split():
            return False
        pairs = zip(_NUMBER.findall(said), _NUMBER.findall(self.shown), strict=True)
        return all(abs(float(a) - float(b)) <= max(1.0, TOLERANCE * abs(float(b))) for a, b in pairs)


def examples() -> list[Example]:
    """Return every example of every page."""
    found = []
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                found.append(Example(page.name, command, shown))
    return found


def write() -> None:
    """Run all examples and write what they say into the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for example in examples():
            if example.page == page.name:
                with tempfile.TemporaryDirectory() as folder:
                    said = example.run(Path(folder))
                text = text.replace(f"$ {example.command}\n{example.shown}```", f"$ {example.command}\n{said}```")
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
