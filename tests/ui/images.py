"""Take the pictures of the documentation from a running studio: `make images`.

    python -m tests.ui.images [name …]

Each is what a fresh visitor sees first, settled, with the zoo's experts; names are those of the files in docs/images.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.ui.browser import ensure_browser
from tests.ui.studio import DESKTOP, PHONE, ROOT, StudioProcess, open_studio, visitor

FOLDER = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Image:
    """One picture: its file, the screen, and what is done before it is taken."""

    name: str
    size: dict[str, int]
    dark: bool = False
    before: Callable[[Page], None] | None = None


def learning(page: Page) -> None:
    """Bring the Learn tab to the front, with the recorded run."""
    page.get_by_role("tab", name="Learn").click()
    expect(page.locator(".learn-result")).to_be_visible()


def geometry(page: Page) -> None:
    """Bring the Geometry tab to the front, with a plane that is measured."""
    page.get_by_role("tab", name="Geometry").click()
    page.get_by_label("study", exact=True).select_option("plane")
    page.get_by_label("measured on").select_option("preview")
    page.get_by_label("cells, number").fill("9")
    page.get_by_label("cells, number").blur()
    expect(page.locator(".geometry[data-study=plane][data-state=complete]")).to_be_visible(timeout=600_000)


IMAGES = (
    Image("studio-light", DESKTOP),
    Image("studio-dark", DESKTOP, dark=True),
    Image("studio-phone", PHONE, dark=True),
    Image("learn-light", DESKTOP, before=learning),
    Image("geometry-light", DESKTOP, before=geometry),
)


def main(wanted: list[str]) -> None:
    """Write the pictures that are named, or all of them."""
    executable = ensure_browser()
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server = StudioProcess(Path(data)).start()
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        try:
            for image in IMAGES:
                if wanted and image.name not in wanted:
                    continue
                with visitor(browser, server.url, image.size, dark=image.dark) as (context, _):
                    page = open_studio(context, server.url)
                    if image.before is not None:
                        image.before(page)
                    page.screenshot(path=FOLDER / f"{image.name}.png")
                    print(FOLDER / f"{image.name}.png")
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
