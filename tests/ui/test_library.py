"""The library and stored links, in a real browser."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Browser, Page, Route, expect

from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, average, open_studio, settled, visitor


def save(page: Page) -> None:
    page.get_by_role("button", name="Save merge").click()
    expect(page.locator(".notice.done")).to_contain_text("library")
    page.get_by_role("button", name="dismiss").first.click()


def lower(page: Page) -> None:
    page.get_by_role("slider", name="λ", exact=True).focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    settled(page)


def test_a_merge_is_saved_found_compared_and_opened_and_a_link_shows_it_to_somebody_else(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url) as (context, witness):
        page = open_studio(context, studio.url)
        first = average(page)
        page.get_by_role("button", name="pin this merge").first.click()
        expect(page.get_by_role("button", name="unpin this merge")).to_be_visible()
        lower(page)
        expect(page.locator(".comparison")).to_contain_text(re.compile("paired.*λ"))
        save(page)
        page.get_by_role("button", name="Share").click()
        page.get_by_role("button", name="Make a link with the result").click()
        field = page.get_by_label("link to this result")
        expect(field).to_have_value(re.compile(r"\?r=[0-9a-f]{32}&recipe=1\."))
        link, shown = field.input_value(), average(page)
        page.keyboard.press("Escape")

        page.get_by_role("tab", name="Library").click()
        rows = page.get_by_role("table", name="Saved results").locator("tbody tr")
        expect(rows).to_have_count(2)
        for place in range(2):
            rows.nth(place).get_by_role("checkbox").check()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("status", name="Comparison")).to_contain_text(re.compile("λ .* → .*"))
        hostile = "<img src=x onerror=alert(1)>"
        rows.nth(1).get_by_role("button", name=re.compile("^rename")).click()
        page.get_by_role("textbox", name="Name").fill(hostile)
        page.get_by_role("button", name="Rename", exact=True).click()
        page.get_by_role("searchbox").fill("<img src")
        expect(rows).to_have_count(1)
        expect(rows.locator(".name .open")).to_have_text(hostile)
        rows.locator(".open").click()
        expect(page.locator(".result[data-drawn]")).to_be_visible()
        expect(page.locator(".result h2").first).to_have_text(hostile)
        page.get_by_role("button", name="Open in studio").click()
        settled(page)
        assert page.locator('#basin-view-studio .accuracy [data-value="average"]').inner_text() == first
        page.reload()
        settled(page)
        expect(page.get_by_role("button", name="unpin this merge")).to_be_visible()
        assert_quiet(witness)

    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = context.new_page()
        page.goto(link)
        expect(page.locator(".result[data-drawn]")).to_be_visible()
        assert average(page) == shown
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        expect(page.locator(".result")).not_to_contain_text("<img")
        page.get_by_role("button", name="Recompute and compare").click()
        expect(page.get_by_role("status", name="Recomputed")).to_contain_text("The same numbers")
        assert page.locator(".basin").get_attribute("data-preview") is None, "a stored link computed something"
        page.get_by_role("button", name="← Library").click()
        expect(page.locator(".results-box .empty")).to_contain_text("Nothing is saved yet")
        assert_quiet(witness)


def test_a_page_that_was_emptied_gives_way_to_the_last_one_there_is(page: Page) -> None:
    asked: list[int] = []

    def answer(route: Route) -> None:
        message = json.loads(route.request.post_data or "{}")
        if message["fn_name"] != "library":
            return route.continue_()
        offset = message["data"]["offset"]
        asked.append(offset)
        first = {
            "average": 0.5,
            "interval": [0.4, 0.6],
            "n": 9,
            "tasks": [],
            "tags": [],
            "when": "2026-01-01T00:00:00Z",
        }
        rows = [{**first, "id": "a", "name": "the first", "label": "", "method": "ties"}] if offset == 0 else []
        # Two pages, of which the second is emptied before it is looked at.
        matching = 51 if len(asked) == 1 else 50
        limits = {"results": 2000, "tags": 12, "compared": 6, "page": 50}
        facets: dict[str, list[str]] = {"method": [], "tag": []}
        found = {"ok": True, "rows": rows, "matching": matching, "facets": facets, "notice": "", "limits": limits}
        return route.fulfill(json=found)

    page.route("**/component_server/", answer)
    page.get_by_role("tab", name="Library").click()
    later = page.get_by_role("button", name="later →")
    later.click()
    expect(later).to_have_count(0)
    expect(page.get_by_role("table", name="Saved results")).to_contain_text("the first")
    expect(page.locator(".results-box .empty")).to_have_text("")
    assert asked == [0, 50, 0]


def test_a_link_to_a_result_that_is_not_here_opens_its_recipe_with_a_sentence(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url) as (context, witness):
        page = open_studio(context, studio.url)
        lower(page)
        page.get_by_role("button", name="Share").click()
        field = page.get_by_label("link to this merge")
        expect(field).to_have_value(re.compile("s=1"))
        shown, payload = average(page), field.input_value().partition("s=")[2]
        other = context.new_page()
        other.goto(f"{studio.url}?r={'0' * 32}&recipe={payload}")
        expect(other.locator(".notice")).to_contain_text("Its recipe is opened instead")
        settled(other)
        assert average(other) == shown
        assert_quiet(witness)
