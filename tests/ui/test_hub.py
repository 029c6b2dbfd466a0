"""Models of the Hub in the page: found, looked at, downloaded and merged; refused with nothing lost; on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from app.own_family import family_named, own_name
from app.sharing.link import encode
from app.state import default_state
from app.studio.families_of_zoo import families_of
from merging_core.checkpoints.zoo import load_zoo
from tests.hub.repositories import folder_files
from tests.hub.server import FakeHub
from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, ROOT, StudioProcess, average, open_studio, settled, visitor

TINY = ROOT / "assets" / "zoo" / "tiny"
NAME = '<img src=x onerror="window.__pwned=1">'


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeHub]:
    """A Hub with the zoo's base and experts under other names, and one that nobody here may read."""
    with FakeHub() as hub:
        tags = ["base_model:ada/base", "base_model:finetune:ada/base"]
        about = {"tags": tags, "pipeline_tag": NAME, "library_name": "transformers"}
        hub.add("ada/base", folder_files(TINY / "base"), downloads=90_000, likes=12)
        hub.add("ada/digits", folder_files(TINY / "digits"), downloads=20, **about)
        hub.add("ada/greek", folder_files(TINY / "greek"), downloads=10, **about)
        hub.add("ada/styles", folder_files(TINY / "styles"), downloads=8, **about)
        hub.add("ada/letters", folder_files(TINY / "letters"), gated=True, downloads=5, **about)
        yield hub


@pytest.fixture(scope="module")
def hubbed(fake: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A Basin that asks this Hub, with nothing downloaded."""
    data = tmp_path_factory.mktemp("hubbed")
    process = StudioProcess(
        data, HF_ENDPOINT=fake.endpoint, HF_HUB_OFFLINE="0", BASIN_CACHE=str(data / "cache"), HF_TOKEN=""
    ).start()
    yield process
    process.stop()


def found(page: Page, count: int) -> None:
    expect(page.locator(".hub-results tbody tr")).to_have_count(count)


def choose(page: Page) -> None:
    page.get_by_role("button", name="Choose models", exact=True).press("Enter")
    found(page, 5)


def take(page: Page, how: str) -> None:
    """Take a model, and wait until its headers are read: the one that is read first stands first."""
    button = page.get_by_role("button", name=how, exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")


def test_models_of_the_hub_are_found_looked_at_downloaded_and_merged(
    browser: Browser, hubbed: StudioProcess, fake: FakeHub
) -> None:
    with visitor(browser, hubbed.url) as (context, witness):
        page = open_studio(context, hubbed.url)
        choose(page)
        field = page.get_by_label("Search the Hub, or paste an id or address")
        field.fill("ada/base")
        field.press("Enter")
        expect(page.locator(".hub-said")).to_contain_text("CLIPVisionModel")
        take(page, "ada/base as base")
        page.get_by_role("button", name="fine-tuned from this").click()
        found(page, 4)
        take(page, "ada/digits as expert")
        take(page, "ada/greek as expert")
        page.get_by_label("Handwritten digits").first.check()
        page.get_by_label("task that ada/digits was trained on").select_option("Handwritten digits")
        said = page.locator(".models-said")
        expect(said).to_contain_text("They fit: 3 checkpoints")
        expect(said).to_contain_text("are to be downloaded")
        assert fake.asked("model.safetensors", "storage") == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Choose models", exact=True).press("Enter")
        page.get_by_role("button", name="Download, then merge").click()
        expect(page.locator(".models-panel")).to_be_hidden()
        settled(page)
        assert page.locator(".experts > .slider-row > label").all_inner_texts() == ["digits", "greek"]
        assert float(average(page).split()[0]) > 0
        expect(page.locator(".panel.accuracy")).to_contain_text(re.compile(r"normalised\s*\d"))
        assert page.evaluate("window.__pwned") is None
        assert_quiet(witness)


def test_a_gated_model_is_refused_in_place_and_what_was_chosen_stays(browser: Browser, hubbed: StudioProcess) -> None:
    with visitor(browser, hubbed.url) as (context, witness):
        page = open_studio(context, hubbed.url)
        choose(page)
        chosen = page.locator(".models-table input:checked")
        before = chosen.count()
        row = page.get_by_role("row", name="ada/letters")
        expect(row).to_contain_text("gated")
        page.get_by_role("button", name="ada/letters as expert").click()
        expect(page.locator(".hub-said .trouble")).to_contain_text("ask for access at")
        assert chosen.count() == before
        expect(page.get_by_role("button", name="Merge these models")).to_be_enabled()
        found(page, 5)
        assert_quiet(witness)


def test_a_link_whose_models_are_not_here_leads_to_their_download_on_a_phone(
    browser: Browser, hubbed: StudioProcess, fake: FakeHub
) -> None:
    base, styles = (f"hub:{name}@{fake.models[name].branches['main']}" for name in ("ada/base", "ada/styles"))
    state = default_state(family_named((), own_name(base, [(styles, None)], [])))
    with visitor(browser, hubbed.url, PHONE, dark=True) as (context, witness):
        page = context.new_page()
        page.goto(f"{hubbed.url}?s={encode(state.as_json())}")
        notice = page.locator(".notice")
        expect(notice).to_contain_text("ada/styles")
        notice.get_by_role("button", name="Choose models").press("Enter")
        expect(page.locator(".models-said")).to_contain_text("to be downloaded")
        expect(page.get_by_label("ada/styles as expert").and_(page.get_by_role("checkbox"))).to_be_checked()
        page.get_by_role("button", name="From the Hub").press("Enter")
        expect(page.get_by_role("heading", name="From the Hugging Face Hub")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type("gree")
        expect(page.locator(".hub-said")).to_have_text("1 model")
        page.get_by_role("button", name="ada/greek as expert").press("Enter")
        expect(page.get_by_label("ada/greek as expert").and_(page.get_by_role("checkbox"))).to_be_checked()
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert_quiet(witness)


def test_the_merge_of_a_link_is_shown_once_its_models_are_downloaded(
    browser: Browser, hubbed: StudioProcess, fake: FakeHub
) -> None:
    base, styles = (f"hub:{name}@{fake.models[name].branches['main']}" for name in ("ada/base", "ada/styles"))
    family = own_name(
        base, [("zoo:tiny/digits", "tiny/digits"), (styles, "tiny/styles")], ["tiny/styles", "tiny/digits"]
    )
    state = default_state(family_named(families_of(load_zoo(TINY.parent)), family)).as_json()
    state["recipe"]["lambda"] = 0.8
    with visitor(browser, hubbed.url) as (context, witness):
        page = context.new_page()
        page.goto(f"{hubbed.url}?s={encode(state)}")
        page.locator(".notice").get_by_role("button", name="Choose models").click()
        page.get_by_role("button", name="Download, then merge").click()
        expect(page.locator(".models-panel")).to_be_hidden()
        settled(page)
        expect(page.locator(".notice")).to_be_hidden()
        expect(page.get_by_role("slider", name="λ", exact=True)).to_have_value("0.8")
        assert float(average(page).split()[0]) > 0
        assert_quiet(witness)
