"""Learning and craft, in a real browser: the tour, the examples, the keys, accessibility, paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import (
    DESKTOP,
    PHONE,
    SETTLED_MS,
    StudioProcess,
    average,
    choose_method,
    open_studio,
    settled,
    visitor,
)

STATE = """() => [...document.querySelectorAll(".rail input, .rail select, .rail [role=switch]")]
  .filter(one => one.checkVisibility()).map(one => one.getAttribute("aria-checked") ?? one.value)"""
WATCH_SHIFTS = """
  window.shifted = 0;
  const add = entries => entries.filter(one => !one.hadRecentInput).forEach(one => { window.shifted += one.value; });
  const observer = new PerformanceObserver(list => add(list.getEntries()));
  observer.observe({type: "layout-shift", buffered: true});
  window.shiftedUntilNow = async () => {
    for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
    add(observer.takeRecords());
    return window.shifted;
  };
"""
# What each act brings onto the screen.
SHOWN = {"examples": ".gallery .example", "keys": ".keys dl", "tour": ".tour-card"}


@pytest.fixture
def still(browser: Browser, studio: StudioProcess) -> Iterator[Page]:
    """A settled studio of somebody who prefers reduced motion."""
    with visitor(browser, studio.url, DESKTOP) as (context, witness):
        page = context.new_page()
        page.emulate_media(reduced_motion="reduce")
        page.goto(studio.url)
        expect(page.locator(".basin[data-ready=true]")).to_be_visible(timeout=SETTLED_MS)
        settled(page)
        yield page
        assert_quiet(witness)


def settled_step(page: Page) -> None:
    """Wait until a step has made its moves, the page has drawn them, and the card has read the numbers."""
    expect(page.locator(".tour-card[data-played=true][data-read=true]")).to_be_visible(timeout=SETTLED_MS)
    settled(page)


@pytest.mark.slow
def test_the_tour_moves_the_page_reads_its_numbers_and_gives_the_state_back(still: Page) -> None:
    page = still
    choose_method(page, "dare_linear")
    settled(page)
    before, number = page.evaluate(STATE), average(page)
    page.get_by_role("button", name="Tour", exact=True).click()
    card = page.locator(".tour-card")
    seen, titles = [], []
    for step in range(1, 6):
        expect(card.locator(".stage")).to_have_text(f"{step} of 5")
        settled_step(page)
        seen.append(page.evaluate(STATE))
        titles.append(card.locator("h2").inner_text())
        numbers = card.locator(".numbers").inner_text()
        assert re.search(r"\d", numbers)
        assert not re.search(r"NaN|Infinity|undefined|null", numbers)
        expect(page.locator(".panel.toured")).to_have_count(1)
        if step in (2, 3, 4):
            assert average(page) in numbers
        if step == 5:
            assert page.locator('.path [data-value="barrier"]').inner_text() in numbers
        if step < 5:
            page.keyboard.press("ArrowRight")
    assert len({str(state) for state in seen}) == 5
    assert len(set(titles)) == 5
    page.keyboard.press("ArrowLeft")
    expect(card.locator(".stage")).to_have_text("4 of 5")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    settled(page)
    assert page.evaluate(STATE) == before
    assert average(page) == number
    expect(page.locator(".panel.toured")).to_have_count(0)
    expect(page.get_by_role("button", name="Tour", exact=True)).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    settled(page)
    assert page.evaluate(STATE) != before


def test_a_reload_in_the_middle_of_the_tour_gives_the_state_back(still: Page) -> None:
    page = still
    before, number = page.evaluate(STATE), average(page)
    page.get_by_role("button", name="Tour", exact=True).click()
    settled_step(page)
    assert page.evaluate(STATE) != before
    page.reload()
    page.wait_for_function(
        f"before => {{ const now = ({STATE})(); return JSON.stringify(now) === JSON.stringify(before); }}",
        arg=before,
    )
    settled(page)
    assert average(page) == number
    expect(page.locator(".tour-card")).to_be_hidden()


@pytest.mark.slow
def test_every_example_is_measured_and_opens_in_the_studio(page: Page) -> None:
    page.get_by_role("button", name="Examples", exact=True).click()
    cards = page.locator(".example")
    expect(cards.nth(7)).to_be_visible()
    expect(page.locator(".example:not([data-measured])")).to_have_count(0, timeout=3 * SETTLED_MS)
    assert cards.evaluate_all("cards => cards.filter(card => card.scrollWidth > card.clientWidth).length") == 0
    for name in cards.evaluate_all("cards => cards.map(card => card.dataset.example)"):
        card = page.locator(f'.example[data-example="{name}"]')
        if not card.is_visible():
            page.get_by_role("button", name="Examples", exact=True).click()
        said = card.locator(".value").inner_text()
        card.click()
        expect(page.locator(".gallery")).to_be_hidden()
        settled(page)
        assert said.startswith(average(page)), name
        expect(page.locator(".notice")).to_be_hidden()
    expect(page.get_by_label("path", exact=True)).to_have_value("between")


def test_keys_do_what_their_controls_do(page: Page) -> None:
    before = page.evaluate(STATE)
    page.keyboard.press("?")
    sheet = page.get_by_role("region", name="Keys")
    expect(sheet).to_be_visible()
    expect(sheet).to_contain_text("go to λ")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.keyboard.press("l")
    expect(page.get_by_role("slider", name="λ", exact=True)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("2")
    expect(page.locator(".experts [role=switch]").nth(1)).not_to_be_checked()
    settled(page)
    page.keyboard.press("u")
    expect(page.locator(".experts [role=switch]").nth(1)).to_be_checked()
    page.keyboard.press("r")
    expect(page.locator(".experts [role=switch]").nth(1)).not_to_be_checked()
    page.keyboard.press("0")
    settled(page)
    assert page.evaluate(STATE) == before
    page.keyboard.press("p")
    expect(page.locator(".merge-entry.pinned")).to_have_count(1)
    page.keyboard.press("j")
    expect(page.locator("#basin-view-studio .panel.accuracy")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#basin-view-studio .panel.path")).to_be_focused()
    page.keyboard.press("s")
    expect(page.get_by_label("link to this merge")).to_have_value(re.compile(r"\?s="))
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.get_by_label("method", exact=True)).to_be_focused()


def test_no_key_works_while_somebody_types_or_when_switched_off(page: Page) -> None:
    before = page.evaluate(STATE)
    page.locator(".slider-row.lambda input[type=number]").focus()
    for key in ("2", "0", "?", "t", "e"):
        page.keyboard.press(key)
    settled(page)
    expect(page.locator(".experts [role=switch]").nth(1)).to_be_checked()
    expect(page.locator(".explainer:popover-open")).to_have_count(0)
    page.keyboard.press("Escape")
    page.reload()
    settled(page)
    page.keyboard.press("?")
    page.get_by_role("checkbox", name="shortcuts of a single key").uncheck()
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 2, "y": 2})
    page.keyboard.press("2")
    page.keyboard.press("e")
    settled(page)
    expect(page.locator(".explainer:popover-open")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("region", name="Keys")).to_be_visible()
    assert page.evaluate(STATE) == before


@pytest.mark.parametrize(("viewport", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop light", "phone dark"])
def test_a_checker_of_accessibility_finds_nothing_serious_and_nothing_jumps(
    browser: Browser, studio: StudioProcess, viewport: dict[str, int], dark: bool
) -> None:
    with visitor(browser, studio.url, viewport, dark=dark) as (context, witness):
        context.add_init_script(WATCH_SHIFTS)
        page = open_studio(context, studio.url + ("?__theme=dark" if dark else "?__theme=light"))
        assert page.evaluate("shiftedUntilNow()") < 0.1
        assert findings(page) == []
        for act, shown in SHOWN.items():
            if viewport is PHONE:
                page.get_by_role("button", name="Menu").click()
                expect(page.locator(f"[data-act={act}]")).to_be_visible()
            if viewport is PHONE and act == "examples":
                assert findings(page) == [], "menu"
            page.locator(f"[data-act={act}]").click()
            expect(page.locator(shown).first).to_be_visible()
            assert findings(page) == [], act
            page.keyboard.press("Escape")
        assert_quiet(witness)


def test_paper_has_charts_numbers_and_the_recipe_but_no_controls(page: Page) -> None:
    def prints() -> str:
        # A browser lays the sheet out as soon as the event is over.
        shown = page.evaluate("""() => { window.dispatchEvent(new Event("beforeprint")); return ({
          controls: [...document.querySelectorAll(".basin :is(button, select, input)")]
            .filter(one => one.checkVisibility() && !one.closest(".merge-entry .open, .merge-entry")).length,
          width: Math.max(...[...document.querySelectorAll(".basin .panel svg.main-svg")]
            .filter(one => one.checkVisibility()).map(one => one.getBoundingClientRect().width)),
          text: document.querySelector(".paper-only").innerText,
          theme: document.querySelector(".basin").dataset.theme}); }""")
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert shown["controls"] == 0
        assert 0 < shown["width"] <= 690
        assert shown["theme"] == "light"
        return str(shown["text"])

    text = prints()
    for word in ("ties", "zoo:tiny/base", "validation split", "95 % intervals", "UTC"):
        assert word in text
    choose_method(page, "linear")
    settled(page)
    assert '"linear"' in prints()
    expect(page.locator(".paper-only")).to_be_hidden()
    assert page.locator("#basin-view-studio .rail").is_visible()


def test_a_recipe_of_mergekit_is_pasted_mended_opened_and_said_again(page: Page) -> None:
    recipe = """merge_method: task_arithmetic
base_model: zoo:tiny/base
models:
- model: zoo:tiny/digits
  parameters: {wieght: 0.5}
dtype: float32"""
    page.get_by_role("button", name="Examples", exact=True).click()
    page.get_by_text("A recipe of your own").click()
    page.locator(".recipe-open textarea").fill(recipe)
    page.get_by_role("button", name="Open recipe").click()
    expect(page.locator(".recipe-said")).to_contain_text("line 5: models[0].parameters.wieght")
    page.locator(".recipe-open textarea").fill(recipe.replace("wieght", "weight"))
    page.get_by_role("button", name="Open recipe").click()
    expect(page.locator(".gallery")).to_be_hidden()
    settled(page)
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_role("tab", name="mergekit").click()
    expect(page.locator(".export-form pre")).to_contain_text("weight: 0.5")
