"""Geometry in a real browser: an answer at once, finer while one looks, and the same again from its link."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from app.sharing import link
from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import DESKTOP, PHONE, StudioProcess, visitor
from tests.ui.test_comparing import STATE


def test_it_opens_with_a_figure_that_becomes_finer_and_its_link_shows_the_same(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url, DESKTOP) as (context, witness):
        page = context.new_page()
        page.goto(f"{studio.url}?s={link.encode(STATE)}#geometry")
        expect(page.locator(".geometry-figure .plot svg").first).to_be_visible()
        page.get_by_label("measured on").select_option("preview")
        points = page.get_by_label("points, number")
        points.fill("5")
        points.press("Tab")
        expect(page.locator(".geometry[data-state=complete]")).to_be_visible()
        sentence = page.locator(".geometry-sentence")
        expect(sentence).to_contain_text("validation")
        page.get_by_role("button", name="Link", exact=True).click()
        address = page.get_by_role("textbox", name="link to this figure")
        expect(address).to_have_value(re.compile("[?&]g="))
        said, given = sentence.inner_text(), address.input_value()
        assert findings(page) == []
        assert_quiet(witness)

    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = context.new_page()
        page.goto(given)
        expect(page.locator(".geometry[data-state=complete]")).to_be_visible()
        expect(page.locator(".geometry-sentence")).to_have_text(said)
        expect(page.get_by_label("points, number")).to_have_value("5")
        expect(page.get_by_label("measured on")).to_have_value("preview")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert_quiet(witness)
