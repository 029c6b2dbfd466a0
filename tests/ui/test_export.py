"""Exporting in a real browser: started, watched, found again after a reload, downloaded, and opened by transformers."""

from __future__ import annotations

import json
import re
import tarfile
import warnings
from pathlib import Path

from playwright.sync_api import Page, expect
from transformers import CLIPVisionModel

from tests.ui.studio import average, settled


def test_an_export_is_started_watched_found_again_and_downloaded(page: Page, tmp_path: Path) -> None:
    shown = average(page)
    page.get_by_role("button", name="Export", exact=True).click()
    card = page.get_by_role("region", name="Export", exact=True)
    expect(card.get_by_text("4.1 MB in one file")).to_be_visible()
    expect(card.get_by_role("tabpanel")).to_contain_text("base: zoo:tiny/base@")
    card.get_by_role("tab", name="YAML").press("ArrowRight")
    expect(card.get_by_role("tab", name="JSON")).to_be_focused()
    assert json.loads(card.get_by_role("tabpanel").inner_text())["version"] == 1
    card.get_by_role("tab", name="Command line").click()
    card.get_by_label("files of at most").select_option(label="1 MB")
    expect(card.get_by_role("tabpanel")).to_contain_text("--shard-size 1MB")

    card.get_by_role("button", name="Start export").click()
    expect(card.locator("[data-state=done]")).to_be_visible()
    page.reload()
    settled(page)
    page.get_by_role("button", name="Export", exact=True).click()
    job = card.locator("[data-state=done]")
    job.locator("summary").first.click()
    job.get_by_text("Log").click()
    expect(job.locator("li").filter(has_text="written in")).to_be_visible()
    with page.expect_download() as asked:
        job.get_by_role("link", name="README.md").click()
    assert asked.value.suggested_filename == "README.md"
    readme = Path(asked.value.path()).read_text(encoding="utf-8")
    found = re.search(r"\| \*\*average\*\* \| ([0-9.]+) \|", readme)
    assert found is not None and found.group(1) == shown

    with page.expect_download() as asked:
        job.get_by_role("link", name="Download all").click()
    name = asked.value.suggested_filename
    with tarfile.open(asked.value.path()) as archive:
        archive.extractall(tmp_path, filter="data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = tmp_path / name.removesuffix(".tar")
        _, report = CLIPVisionModel.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    assert not any(report[key] for key in report)

    job.get_by_role("button", name="Delete").click()
    expect(card.locator(".export-job")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
