"""The figures of chance: sliders by keyboard, the ring by pointer, and what never changes with the temperature."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, visitor

COUNTS = """() => [...document.querySelectorAll(".simplex .annotation-text")].map(text => text.textContent)"""


def opened(page: Page, url: str) -> None:
    page.goto(f"{url}#learn")
    page.get_by_text("How a mask is learned").click()
    for name in ("simplex", "coin"):
        page.locator(f".chance.{name}").scroll_into_view_if_needed()
        expect(page.locator(f".chance.{name}[data-seq]")).to_be_visible()


def test_classes_and_a_coin_are_drawn_relaxed_and_hardened_by_keyboard_and_by_pointer(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url, PHONE, dark=True) as (context, witness):
        page = context.new_page()
        page.emulate_media(reduced_motion="reduce")
        opened(page, studio.url)
        three, coin = (page.get_by_role("region", name=name) for name in ("One of three classes", "A coin"))
        drawn = page.evaluate(COUNTS)
        assert len(drawn) == 3 and drawn[0].startswith("A ")
        three.get_by_role("slider", name="temperature").press("Home")
        expect(three.locator(".stage")).to_contain_text("temperature 0.01")
        assert page.evaluate(COUNTS) == drawn
        three.get_by_role("slider", name="logit C").press("End")
        expect(three.locator("tbody tr").last).to_contain_text("93.6 %")
        ring = three.locator(".simplex-ring")
        ring.evaluate("one => one.scrollIntoView({ block: 'center' })")
        box = ring.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 15, box["y"] + 15)
        page.mouse.down()
        page.mouse.move(box["x"] + 15, box["y"] + 135, steps=4)
        page.mouse.up()
        expect(three.get_by_label("logit C, number")).not_to_have_value("4.0")
        coin.get_by_role("slider", name="logit x").press("Home")
        expect(coin.locator("strong")).to_have_text("P(1) = σ(x) = 1.8 %")
        expect(coin.locator("tbody tr").nth(3)).to_contain_text("0.000")
        coin.get_by_role("button", name="Draw again").press("Enter")
        expect(coin.locator(".stage")).to_have_text(re.compile("seed 1"))
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert findings(page) == []
        assert_quiet(witness)
