"""The compiled loops: built once for each machine by the C compiler that is there, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import secrets
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from merging_core.caches import own_folder

__all__ = ["SWITCH", "compiled", "compiler", "library"]

SWITCH = "BASIN_NATIVE"
"""Environment variable: `off` computes everything plainly, with the same bits."""

_SOURCE = Path(__file__).with_name("kernels.c")
_FLAGS = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
_ATTEMPTS: tuple[tuple[str, ...], ...] = ((), ("-DONE_MACHINE",))
"""First with a version of each loop for newer processors, chosen when it is loaded; then with one for all."""
_PATIENCE_S = 60.0


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled loops, or nothing where they are switched off, or cannot be built or loaded here.

    Built at the first call of the first process, in about a second; later ones only load the file.
    """
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false") or sys.byteorder != "little":
        return None
    folder = own_folder("native")
    path = compiled(_SOURCE, folder) if folder is not None else None
    if path is None:
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def compiler() -> str | None:
    """Return the path of a C compiler, or nothing where there is none: what `CC` names, else cc, gcc or clang."""
    named = os.environ.get("CC", "").split()
    return next((found for name in (*named[:1], "cc", "gcc", "clang") if (found := shutil.which(name))), None)


def compiled(source: Path, folder: Path) -> Path | None:
    """Return the library built from `source` in a folder, once; nothing where that cannot be done."""
    tool = compiler()
    if tool is None:
        return None
    words = (source.read_bytes(), " ".join(_FLAGS).encode(), tool.encode(), platform.platform().encode())
    key = hashlib.sha256(b"\0".join(words)).hexdigest()[:32]
    target = folder / f"{source.stem}-{key}.so"
    if target.exists():
        return target
    fresh = folder / f".{target.name}.{secrets.token_hex(4)}"
    try:
        for more in _ATTEMPTS:
            command = [tool, *_FLAGS, *more, "-o", str(fresh), str(source)]
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
            if done.returncode == 0:
                fresh.replace(target)
                return target
    except (OSError, subprocess.SubprocessError):
        return None
    finally:
        fresh.unlink(missing_ok=True)
    return None
