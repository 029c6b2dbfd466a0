"""Adding a task: a data set is looked at, prepared by the server, and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.app.tasks.places import shards
from tests.evaluation.test_clip_benchmark import write_benchmark
from tests.hub.server import FakeHub
from tests.ui.conftest import assert_quiet
from tests.ui.studio import StudioProcess, address_of, open_studio, settled, visitor


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StudioProcess]:
    models = tmp_path / "models"
    write_benchmark(models)
    with FakeHub() as hub:
        hub.add("ada/animals", shards(tmp_path), data_set=True)
        settings = {"BASIN_MODELS": str(models), "HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
        process = StudioProcess(tmp_path, **settings, BASIN_CACHE=str(tmp_path / "cache")).start()
        yield process
        process.stop()


@pytest.mark.slow
def test_a_data_set_becomes_a_task_that_the_merge_is_measured_on(browser: Browser, server: StudioProcess) -> None:
    with visitor(browser, server.url) as (context, witness):
        page = open_studio(context, server.url)
        page.get_by_role("button", name="Choose models", exact=True).press("Enter")
        page.locator(".models-panel").get_by_role("button", name="Clear", exact=True).click()
        page.get_by_label("local:base as base").check()
        page.get_by_label("local:one as expert").check()
        page.get_by_label("local:two as expert").check()
        page.get_by_text("Add a task").click()
        page.get_by_label("data set").fill("ada/animals")
        page.get_by_label("data set").press("Enter")
        expect(page.locator(".task-about")).to_contain_text("3 classes: cat, dog, owl")
        expect(page.locator(".task-about")).to_contain_text("made from train by seed 0")
        page.get_by_label("of", exact=True).fill("local:clip")
        page.get_by_label("trained on it").select_option("local:one")
        page.get_by_label("examples of a split").fill("20")
        page.get_by_role("button", name="Prepare", exact=True).click()
        expect(page.locator(".task-said")).to_contain_text("Prepared: animals.")
        expect(page.locator(".models-tasks").get_by_label("animals")).to_be_checked()
        page.get_by_role("button", name="Merge these models").click()
        settled(page)
        expect(page.locator(".panel.accuracy")).to_contain_text("n ")
        address = address_of(page)
        with visitor(browser, server.url) as (other, quiet):
            opened = open_studio(other, address)
            expect(opened.locator(".panel.accuracy .body")).to_be_visible()
            assert_quiet(quiet)
        assert_quiet(witness)
