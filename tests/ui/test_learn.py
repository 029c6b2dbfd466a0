"""Learning in a real browser: started, found again after a reload, finished, and opened in the studio."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from app.sharing import link
from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, average, open_studio, settled, visitor
from tests.ui.test_comparing import STATE


def test_a_run_is_started_found_again_after_a_reload_and_opened_in_the_studio(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, f"{studio.url}?s={link.encode(STATE)}")
        page.get_by_role("tab", name="Learn").click()
        steps = page.get_by_label("steps, number")
        steps.fill("20")
        steps.press("Tab")
        page.get_by_role("button", name="Start learning").click()
        run = page.locator(".learn-status")
        expect(run.get_by_role("heading", name="AdaMerging on Left and Right")).to_be_visible()

        page.reload()
        expect(page.locator(".learn[data-state=finished]")).to_be_visible()
        result = page.get_by_role("status", name="Result")
        expect(result).to_contain_text("points to task arithmetic")
        expect(page.get_by_label("steps, number")).to_have_value("20")
        expect(page.locator(".learn-charts .plot").nth(1).locator("svg").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert findings(page) == []
        learned = result.locator(".learned-accuracy").inner_text()

        result.get_by_role("button", name="Open in the studio").press("Enter")
        expect(page.get_by_role("tab", name="Studio")).to_have_attribute("aria-selected", "true")
        settled(page)
        assert average(page) == learned
        rail = page.get_by_role("complementary", name="Controls")
        rail.get_by_role("button", name="Leave out", exact=True).click()
        settled(page)
        expect(rail.get_by_role("button", name="Leave out", exact=True)).to_be_hidden()
        assert_quiet(witness)
