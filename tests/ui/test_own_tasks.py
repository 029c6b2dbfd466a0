"""Tasks of one's own in the page: the preset by its button, and a table of this server by the form, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.app.presets.standin import PRESET, stand_in
from tests.evaluation.test_picture_tasks import class_folders
from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, address_of, open_studio, settled, visitor

LONG = 90_000
JPEG = re.compile("^data:image/jpeg;base64,")
ANSWERED_ALIKE = """() => {
  const said = (kind) => [...document.querySelectorAll(`.guesses .${kind} td`)].map((cell) => cell.innerText).join(" ");
  return said("merge") !== "" && said("merge") === said("base");
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A Basin that asks the stand-in, with a folder of pictures of its own."""
    folder = tmp_path_factory.mktemp("own")
    class_folders(folder / "tasks" / "pets", 20)
    (folder / "data").mkdir()
    (folder / "made").mkdir()
    with stand_in(folder / "made") as hub:
        process = StudioProcess(
            folder / "data", HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="0", BASIN_CACHE=str(folder / "cache"),
            HF_TOKEN="", BASIN_TASKS=str(folder / "tasks"),
        ).start()  # fmt: skip
        yield process
        process.stop()


def opened(page: Page) -> None:
    page.get_by_role("button", name="Choose models", exact=True).press("Enter")
    page.locator(".own-tasks summary").click()
    expect(page.get_by_role("button", name=PRESET.title)).to_be_visible()


def test_the_preset_s_button_leads_to_a_merge_of_eight_experts(browser: Browser, served: StudioProcess) -> None:
    with visitor(browser, served.url) as (context, witness):
        page = open_studio(context, served.url)
        opened(page)
        page.get_by_role("button", name=PRESET.title).click()
        expect(page.locator(".task-said")).to_contain_text("are to be downloaded", timeout=LONG)
        assert findings(page) == []
        page.get_by_role("button", name="Download and prepare").click()
        expect(page.locator(".models-tasks input:checked")).to_have_count(len(PRESET.tasks), timeout=LONG)
        expect(page.locator(".models-said")).to_contain_text("They fit: 9 checkpoints", timeout=LONG)
        expect(page.locator(".task-said .trouble")).to_have_count(0)
        first = page.locator(".models-tasks").get_by_label("sun397")
        merge = page.get_by_role("button", name="Merge these models")
        for turn in (first.uncheck, first.check):
            turn()
            expect(merge).to_be_enabled()
            expect(page.locator(".models-said .trouble")).to_have_count(0)
        assert findings(page) == []
        merge.click()
        works_in_the_studio(page)
        address = address_of(page)
        with visitor(browser, served.url) as (other, quiet):
            picture_is_shown(open_studio(other, address))
            assert_quiet(quiet)
        assert_quiet(witness)


def picture_is_shown(page: Page) -> Locator:
    """All models say what they see in an example of a task of colours."""
    panel = page.get_by_role("region", name="Try it")
    panel.scroll_into_view_if_needed()
    expect(panel.locator(".guesses tbody tr")).to_have_count(len(PRESET.tasks) + 2, timeout=LONG)
    expect(panel.locator(".photo")).to_have_attribute("src", JPEG)
    return panel


def works_in_the_studio(page: Page) -> None:
    """The merge stands there with its tasks, follows λ, and says what it sees in a picture of colours."""
    expect(page.locator(".experts [role=switch]")).to_have_count(len(PRESET.tasks))
    settled(page)
    expect(page.locator(".notice")).to_be_hidden()
    expect(page.locator(".accuracy .plot .xtick")).to_have_count(len(PRESET.tasks) + 1)
    panel = picture_is_shown(page)
    panel.locator(".pick-tile").nth(1).click()
    expect(panel.locator(".pick-tile").nth(1)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("slider", name="λ", exact=True).press("Home")
    settled(page)
    panel.scroll_into_view_if_needed()
    page.wait_for_function(ANSWERED_ALIKE)


def test_a_folder_of_this_server_is_looked_at_and_its_fields_fit_a_phone(
    browser: Browser, served: StudioProcess
) -> None:
    with visitor(browser, served.url, PHONE, dark=True) as (context, witness):
        page = open_studio(context, served.url)
        opened(page)
        page.get_by_label("or data that are here").select_option("local:pets")
        expect(page.locator(".task-about")).to_contain_text("3 classes: ")
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert_quiet(witness)
