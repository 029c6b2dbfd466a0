"""The folder of one run of learning: what it said, where it stands, what became of it.

`lines.jsonl` grows by a line for each moment and each check, `now.json` holds the newest moment, `state.safetensors`
from where the run goes on, `result.json` what became of it; `wish` is what the visitor wants of it meanwhile.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["WISHES", "RunFiles", "finite"]

WISHES = ("pause", "stop")
"""Stand still, so that it can go on later; or end with the best so far."""


@dataclass(frozen=True)
class RunFiles:
    """The files of one run; the server reads what the run's process writes."""

    folder: Path

    @property
    def lines(self) -> Path:
        """Moments and checks, one JSON value a line."""
        return self.folder / "lines.jsonl"

    @property
    def state(self) -> Path:
        """From where it goes on."""
        return self.folder / "state.safetensors"

    @property
    def expert(self) -> Path:
        """The checkpoint that it makes, where its method makes one."""
        return self.folder / "expert"

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write `<name>.json`: the old one or the new one, never half of it."""
        aside = self.folder / f".{name}.json"
        aside.write_text(json.dumps(finite(value), allow_nan=False, ensure_ascii=False), encoding="utf-8")
        aside.replace(self.folder / f"{name}.json")

    def read(self, name: str) -> dict[str, Any] | None:
        """Return what `<name>.json` holds; nothing where it is missing or damaged."""
        try:
            found = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def wish(self, what: str | None) -> None:
        """Tell the run's process what is wanted of it; None for nothing."""
        path = self.folder / "wish"
        if what is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(what, encoding="ascii")

    def wished(self) -> str | None:
        """Return what is wanted of the run, if anything is."""
        with suppress(OSError):
            found = (self.folder / "wish").read_text(encoding="ascii")
            return found if found in WISHES else None
        return None

    def trim(self, step: int) -> None:
        """Forget what was said after a step, as the run goes on from there and says it again."""
        kept = [line for line in self.said() if line.get("step", 0) <= step]
        aside = self.folder / ".lines.jsonl"
        aside.write_text("".join(_line(one) for one in kept), encoding="utf-8")
        aside.replace(self.lines)

    def said(self) -> Iterator[dict[str, Any]]:
        """Yield every line that is written whole."""
        try:
            text = self.lines.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        whole, newline, _ = text.rpartition("\n")
        for line in whole.split("\n") if newline else ():
            yield json.loads(line)

    def say(self, value: Mapping[str, Any], *, sure: bool = False) -> None:
        """Add a line; `sure` that it is on the disk before anything else happens."""
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(_line(value))
            if sure:
                file.flush()
                os.fsync(file.fileno())

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file())


def finite(value: Any) -> Any:
    """Return plain values in which numbers that are not finite are null.

    >>> finite({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(finite(value), allow_nan=False, ensure_ascii=False) + "\n"
