"""Find the Chromium that the tests drive, or install it.

The one on PATH comes first, then Playwright's own, then Debian's package. Without any of them the tests that need a
browser fail with a sentence; they are never skipped.

    python -m tests.ui.browser            print the executable, or say that there is none
    python -m tests.ui.browser --ensure   install Debian's package first if there is none
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

MISSING = (
    "No browser was found: the tests drive Chromium or Chrome. Put one on PATH, or run "
    "`.venv/bin/python -m playwright install chromium`, or on Debian `apt-get install chromium`."
)


class BrowserMissing(Exception):
    """There is no browser on this machine and none could be installed."""


def find_browser() -> str:
    """Return the path of a Chromium or Chrome executable.

    Raises BrowserMissing, whose text says what to install.
    """
    found = _on_path() or _playwrights_own()
    if found is None:
        raise BrowserMissing(MISSING)
    return found


def ensure_browser() -> str:
    """Return the path of a browser, installing Debian's package if there is none yet.

    Raises BrowserMissing where that is not possible.
    """
    found = _on_path() or _playwrights_own()
    if found is not None:
        return found
    _install_debians()
    return find_browser()


def _on_path() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = playwright.chromium.executable_path
    return executable if Path(executable).is_file() else None


def _install_debians() -> None:
    if shutil.which("apt-get") is None:
        return
    root = os.geteuid() == 0
    if not root and shutil.which("sudo") is None:
        return
    prefix = [] if root else ["sudo"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    print("Installing Debian's chromium for the tests …", flush=True)
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            [*prefix, "apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            print(done.stderr.strip(), file=sys.stderr)


def main(arguments: list[str]) -> int:
    """Print the browser's path; exit with 1 and a sentence if there is none."""
    try:
        print(f"browser: {ensure_browser() if '--ensure' in arguments else find_browser()}")
    except BrowserMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
