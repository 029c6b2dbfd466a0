"""Named chat templates: the files of one folder beside a model's weights, as transformers reads and writes them."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["TEMPLATES", "folder_files", "is_template", "template_names"]

TEMPLATES = "additional_chat_templates"
"""The folder."""
_MOST = 64
_NAME = re.compile(TEMPLATES + r"/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.jinja")


def is_template(name: str) -> bool:
    """Say whether a file, named from the model's folder, is a named chat template.

    >>> is_template("additional_chat_templates/tool_use.jinja"), is_template("additional_chat_templates/../a.jinja")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def template_names(folder: Path) -> tuple[str, ...]:
    """Return the named templates of a model's folder, in order, at most 64; none where a link leads to them."""
    inside = folder / TEMPLATES
    try:
        if inside.is_symlink() or not inside.is_dir():
            return ()
        found = sorted(name for one in os.listdir(inside) if is_template(name := f"{TEMPLATES}/{one}"))
    except OSError:
        return ()
    return tuple(found[:_MOST])


def folder_files(folder: Path) -> dict[str, Path]:
    """Return the regular files of a written checkpoint's folder by their names from there; links are left out."""
    names = [*sorted(path.name for path in folder.iterdir()), *template_names(folder)]
    return {name: path for name in names if (path := folder / name).is_file() and not path.is_symlink()}
