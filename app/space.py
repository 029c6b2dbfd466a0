"""Put Basin on Hugging Face Spaces: `python -m app.space owner/name`.

One commit holds what a Space needs and nothing else, with a README made for it. `--dry-run` shows both and asks nobody.
A Space that already holds Basin is brought up to date; files that Basin no longer has go.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from merging_core.engines.pricing import amount
from merging_core.errors import BasinError, HubError, Problem
from merging_core.hub.publish import send

__all__ = ["HARDWARE", "files_of_space", "main", "readme"]

HARDWARE = "cpu-basic"
"""What a Space runs on unless another kind is named."""
_ROOT = Path(__file__).resolve().parent.parent
_SINGLE = ("app.py", "requirements.txt", "LICENSE", "NOTICE")
_FOLDERS = {
    "app": (".py", ".js", ".css", ".json"),
    "merging_core": (".py", ".typed", ".c"),
    "assets/zoo": (".json", ".md", ".png", ".safetensors"),
    "assets/learning": (".json",),
    "assets/recipes": (".json", ".yaml"),
    "assets/presets": (".json",),
}
"""Folders, and the kinds of files of each that are read while Basin runs."""
_OURS = frozenset({"app/main.py", "merging_core/errors.py"})
_OF_A_NEW_SPACE = frozenset({"README.md", ".gitattributes"})
_PYTHON = "3.12"
_SCOPES = ("read-repos", "contribute-repos", "write-discussions")
"""Read what a visitor may read, make repositories and see only those, open pull requests."""
_MODELS = ("openai/clip-vit-base-patch32",)
_TAGS = ("model-merging", "task-arithmetic", "ties", "interpretability")
_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_BODY = """\
# Basin

Merge models and see, while a slider moves, what the merge does: accuracy per task, the loss along the path, the layers.
Something is there as soon as the page opens; a link reproduces what you see.

- Duplicate this Space to work with larger models, on hardware of your own, or in private.
- What visitors make is kept while the Space runs. With a bucket mounted at `/data` it outlives a restart; the page says
  which of the two it is.
- Settings are variables of the Space; `BASIN_MOST_MODEL_MB`, `BASIN_MOST_EXPORT_MB`, `BASIN_MOST_JOBS` and
  `BASIN_MOST_MINUTES` say what one visitor may ask for.
"""


def readme(hardware: str = HARDWARE, root: Path = _ROOT) -> str:
    """Return the README of the Space: its front matter is its configuration.

    Raises: `HubError` if constraints.txt does not say which gradio is tested.

    >>> readme().splitlines()[:3]
    ['---', 'title: Basin', 'sdk: gradio']
    """
    front = {
        "title": "Basin",
        "sdk": "gradio",
        "sdk_version": _tested("gradio", root),
        "python_version": _PYTHON,
        "app_file": "app.py",
        "colorFrom": "gray",
        "colorTo": "blue",
        "fullWidth": True,
        "header": "mini",
        "pinned": False,
        "short_description": "See the merge before you make it",
        "license": "apache-2.0",
        "suggested_hardware": hardware,
        "hf_oauth": True,
        "hf_oauth_scopes": list(_SCOPES),
        "models": list(_MODELS),
        "tags": list(_TAGS),
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n{_BODY}"


def files_of_space(hardware: str = HARDWARE, root: Path = _ROOT) -> dict[str, Path | bytes]:
    """Return what is uploaded, by its place in the Space; the README is made, the rest lies in this folder."""
    files: dict[str, Path | bytes] = {name: root / name for name in _SINGLE}
    for folder, kinds in _FOLDERS.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in kinds and path.is_file() and path != Path(__file__).resolve():
                files[path.relative_to(root).as_posix()] = path
    files["README.md"] = readme(hardware, root).encode()
    files["requirements.txt"] = _requirements(root).encode()
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload, or say what would be uploaded; 0 done, 2 if it cannot be done."""
    given = _parser().parse_args(arguments)
    try:
        if not _NAME.fullmatch(given.repo):
            must = "a Space is named owner/name"
            raise HubError(Problem(must, repr(given.repo[:100]), "", "such as make space REPO=ann/basin"))
        files = files_of_space(given.hardware or HARDWARE)
        if given.dry_run:
            print(_shown(files))
            return 0
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        made = send(
            files,
            given.repo,
            os.environ.get("HF_TOKEN"),
            kind="space",
            private=given.private,
            may_change=lambda there: there >= _OURS or there <= _OF_A_NEW_SPACE,
            stale=lambda there: frozenset(name for name in there if name.startswith(tuple(f"{f}/" for f in _FOLDERS))),
            hardware=given.hardware,
            message="Put Basin here",
        )
    except BasinError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    gone = f", {len(made.removed)} removed" if made.removed else ""
    print(f"{made.url}: {len(made.files)} files, {amount(made.nbytes)}{gone}; the Space is being built.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app.space",
        description="Put Basin on Hugging Face Spaces, in one commit, with the token in HF_TOKEN.",
    )
    parser.add_argument("repo", metavar="REPO", help="the Space: owner/name")
    parser.add_argument("--dry-run", action="store_true", help="show the README and the files, and ask nobody")
    parser.add_argument("--hardware", help=f"what it runs on, such as zero-a10g or t4-small; {HARDWARE} by default")
    parser.add_argument("--private", action="store_true", help="let only you see it")
    return parser


def _shown(files: dict[str, Path | bytes]) -> str:
    sizes = {name: data.stat().st_size if isinstance(data, Path) else len(data) for name, data in sorted(files.items())}
    lines = [f"{amount(size):>10}  {name}" for name, size in sizes.items()]
    card = files["README.md"]
    text = card.decode() if isinstance(card, bytes) else ""
    return "\n".join([text, *lines, f"{len(sizes)} files, {amount(sum(sizes.values()))}"])


def _requirements(root: Path) -> str:
    """Return requirements.txt with what visitors need to sign in, which only a Space offers."""
    text = (root / "requirements.txt").read_text(encoding="utf-8")
    return re.sub(r"^gradio(?=[^\w\[-])", "gradio[oauth]", text, flags=re.MULTILINE)


def _tested(package: str, root: Path) -> str:
    """Return the version of a package that constraints.txt pins."""
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package)}==(\S+)$", text, re.MULTILINE)
    if found is None:
        raise HubError(Problem(f"constraints.txt pins {package}", "no version", "constraints.txt"))
    return found.group(1)


if __name__ == "__main__":
    sys.exit(main())
