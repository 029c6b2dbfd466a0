"""The studio on a narrow screen: everything is a press away, and what one moves shows what it does."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, open_studio, visitor

NOTHING_IS_CUT = """(width) => innerWidth === width
  && [...document.querySelectorAll(".basin .top .actions button:not(.explainer *, .places *)")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }))
    .every((one) => one.getBoundingClientRect().right <= width)"""


def expect_stands(page: Page, selector: str, least: int, most: int) -> None:
    """Wait until an element's upper edge is at `least` to `most` pixels from the top of the screen."""
    page.wait_for_function(
        """([selector, least, most]) => {
             const { top } = document.querySelector(selector).getBoundingClientRect();
             return least <= top && top <= most; }""",
        arg=[selector, least, most],
    )


def test_on_a_phone_all_is_reached_from_the_menu_and_the_accuracies_stay_in_view(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, studio.url)
        menu = page.get_by_role("button", name="Menu")
        expect(page.locator("[data-act=export]")).to_be_hidden()
        menu.click()
        expect(menu).to_have_attribute("aria-expanded", "true")
        for act in ("redo", "reset", "save", "examples", "tour", "keys", "export", "share"):
            expect(page.locator(f"[data-act={act}]")).to_be_visible()
        page.get_by_role("group", name="go to").get_by_role("button", name="Try it").click()
        expect(menu).to_have_attribute("aria-expanded", "false")
        expect(page.get_by_role("region", name="Try it")).to_be_focused()
        expect_stands(page, ".try-it", 40, 60)
        menu.click()
        page.locator("[data-act=export]").click()
        expect(page.locator(".export-panel")).to_be_visible()
        expect(page.locator("[data-act=reset]")).to_be_hidden()
        page.keyboard.press("Escape")
        menu.click()
        page.locator("[data-act=examples]").click()
        page.wait_for_function(
            """() => { const card = document.querySelector(".gallery");
                       return card.querySelector(".example") && card.getBoundingClientRect().bottom <= innerHeight; }"""
        )
        page.keyboard.press("Escape")
        menu.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        expect(menu).to_have_attribute("aria-expanded", "false")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        # The accuracies stay in view while what stands below them is moved.
        page.evaluate("window.scrollTo(0, 0)")
        page.mouse.wheel(0, 500)
        page.wait_for_function("window.scrollY > 400")
        expect_stands(page, "#basin-view-studio .panel.accuracy", 44, 44)
        for width in (360, 390, 761, 800, 1000, 1100):
            page.set_viewport_size({**PHONE, "width": width})
            page.wait_for_function(NOTHING_IS_CUT, arg=width)
        assert_quiet(witness)
