"""Choosing models: what fits opens as a family of one's own, what does not is said before anything is merged."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, address_of, average, open_studio, settled, visitor


def picker(page: Page) -> None:
    page.get_by_role("button", name="Choose models", exact=True).press("Enter")
    expect(page.get_by_role("region", name="Choose models")).to_be_visible()
    expect(page.locator(".models-said")).to_contain_text("They fit: 7 checkpoints")


def test_models_that_fit_are_merged_and_their_link_opens_elsewhere(
    browser: Browser, studio: StudioProcess, page: Page
) -> None:
    picker(page)
    for name in ("letters", "shapes", "counting", "styles"):
        page.get_by_label(f"zoo:tiny/{name} as expert").uncheck()
    page.get_by_label("Font styles").uncheck()
    expect(page.locator(".models-said")).to_contain_text("They fit: 3 checkpoints")
    page.get_by_role("button", name="Merge these models").click()
    settled(page)
    expect(page.get_by_label("base", exact=True).locator("option:checked")).to_have_text("your models")
    assert page.locator(".experts > .slider-row > label").all_inner_texts() == ["digits", "greek"]
    page.get_by_role("slider", name="greek", exact=True).press("ArrowLeft")
    settled(page)
    shown, address = average(page), address_of(page)
    with visitor(browser, studio.url) as (context, witness):
        other = open_studio(context, address)
        assert average(other) == shown
        assert other.locator(".experts > .slider-row > label").all_inner_texts() == ["digits", "greek"]
        assert_quiet(witness)
    page.get_by_label("base", exact=True).select_option("tiny")
    settled(page)
    assert page.locator(".experts > .slider-row > label").count() == 6
    page.get_by_role("button", name="Undo").click()
    settled(page)
    assert average(page) == shown


def test_models_that_do_not_fit_are_refused_with_their_reason(browser: Browser, studio: StudioProcess) -> None:
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, studio.url)
        before = average(page)
        picker(page)
        page.get_by_label("zoo:basins/left as expert").check()
        expect(page.locator(".models-said .trouble").first).to_contain_text("zoo:basins/left")
        expect(page.get_by_role("button", name="Merge these models")).to_be_disabled()
        page.keyboard.press("Escape")
        assert average(page) == before
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert_quiet(witness)


def test_models_without_a_task_show_their_layers(browser: Browser, studio: StudioProcess) -> None:
    with visitor(browser, studio.url) as (context, witness):
        page = open_studio(context, studio.url)
        picker(page)
        ticked = page.locator(".models-tasks input:checked")
        for _ in range(ticked.count()):
            ticked.first.uncheck()
        expect(page.locator(".models-said")).to_contain_text("They fit")
        page.get_by_role("button", name="Merge these models").click()
        settled(page)
        expect(page.locator(".panel.accuracy .stage")).to_contain_text("no task is chosen")
        expect(page.locator(".panel.accuracy .body")).to_be_hidden()
        score = page.get_by_role("button", name="Score on test")
        expect(score).to_be_disabled()
        expect(page.locator(".foot .hint")).to_contain_text("There is nothing to score")
        expect(page.locator(".panel.layers .plot .barlayer").first).to_be_attached()
        for name in ("Try it", "Look closer"):
            expect(page.get_by_role("region", name=name, exact=True)).to_be_hidden()
        page.get_by_role("button", name="Undo").click()
        settled(page)
        expect(page.locator(".panel.accuracy .body")).to_be_visible()
        expect(score).to_be_enabled()
        assert_quiet(witness)
