"""The method picker: found by typing, chosen by keyboard, and each method in a picture of the visitor's own numbers."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, open_studio, settled, visitor


def pictured(page: Page, name: str) -> None:
    expect(page.locator(".picker-right")).to_have_attribute("data-picture", name)


def test_a_method_is_found_looked_at_and_chosen_by_keyboard(page: Page) -> None:
    field = page.get_by_label("method", exact=True)
    field.focus()
    page.keyboard.press("t")
    search = page.get_by_role("combobox", name="search methods")
    expect(search).to_be_focused()
    expect(page.locator(".picker[data-fits=true]")).to_be_visible()
    search.fill("dareties")
    expect(page.locator(".picker [role=option]")).to_have_count(1)
    pictured(page, "dare_ties")
    search.fill("gargiulo")
    pictured(page, "tsv_m")
    search.fill("sparsifying")
    page.keyboard.press("ArrowDown")
    pictured(page, "breadcrumbs")
    assert page.locator(".picker-shares dt").count() == 3
    assert page.locator(".picker-right .plot .points path").count() > 300
    assert findings(page) == []
    page.keyboard.press("Enter")
    expect(page.locator(".picker")).to_be_hidden()
    expect(field).to_be_focused()
    settled(page)
    expect(field).to_have_text("Model Breadcrumbs")
    page.keyboard.press("ArrowDown")
    expect(search).to_be_focused()
    page.keyboard.press("Escape")
    expect(field).to_be_focused()
    expect(page.locator(".picker")).to_be_hidden()


def test_on_a_phone_the_methods_lie_in_the_flow_and_nothing_is_too_wide(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, studio.url)
        page.get_by_label("method", exact=True).click()
        page.locator('.picker [data-value="slerp"]').click()
        pictured(page, "slerp")
        expect(page.locator('.picker [data-value="slerp"] .note')).to_contain_text("Digits and Letters")
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert_quiet(witness)
