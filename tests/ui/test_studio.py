"""What a visitor does in the studio, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.ui.conftest import assert_quiet
from tests.ui.studio import DESKTOP, PHONE, StudioProcess, average, choose_method, open_studio, settled, visitor

WATCH_PREVIEWS = """() => {
  const root = document.querySelector(".basin");
  window.drawn = new Set();
  const note = () => window.drawn.add(root.dataset.preview);
  new MutationObserver(note).observe(root, {attributeFilter: ["data-preview"]});
}"""


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name, exact=True)


def press(page: Page, control: Locator, key: str, times: int = 1) -> None:
    control.focus()
    for _ in range(times):
        page.keyboard.press(key)
    settled(page)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_opens_with_numbers_and_without_a_word_to_other_hosts(
    browser: Browser, studio: StudioProcess, viewport: dict[str, int], dark: bool
) -> None:
    with visitor(browser, studio.url, viewport, dark=dark) as (context, witness):
        page = open_studio(context, studio.url + ("?__theme=dark" if dark else "?__theme=light"))
        assert float(average(page)) > 20
        assert page.locator(".accuracy .plot .bars .point").count() >= 7
        assert page.locator(".basin").get_attribute("data-theme") == ("dark" if dark else "light")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], "the page scrolls sideways"
        assert_quiet(witness)


def test_everything_is_on_one_screen_at_1440_by_900_and_the_controls_stay_in_view_below_it(page: Page) -> None:
    for name in ("Accuracy per task", "Path", "Layers", "History"):
        box = page.get_by_role("region", name=name, exact=True).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 901, f"{name} ends at {box['y'] + box['height']:.0f}"
    page.locator(".try-it").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, 800)")
    page.wait_for_function("window.scrollY > 700 && document.querySelector('.rail').getBoundingClientRect().top === 0")


def test_a_slider_moved_by_keyboard_changes_the_numbers_and_undo_brings_them_back(page: Page) -> None:
    before = average(page)
    control = slider(page, "λ")
    value = control.input_value()
    press(page, control, "ArrowRight", 40)
    assert control.input_value() != value
    assert average(page) != before
    page.keyboard.press("Control+z")
    while page.get_by_role("button", name="Undo").is_enabled():
        page.get_by_role("button", name="Undo").click()
    settled(page)
    assert slider(page, "λ").input_value() == value
    assert average(page) == before
    page.get_by_role("button", name="Redo").click()
    settled(page)
    assert slider(page, "λ").input_value() != value


def test_a_number_that_was_emptied_comes_back(page: Page) -> None:
    box = page.get_by_label("λ, number")
    value = box.input_value()
    box.fill("")
    box.press("Tab")
    expect(box).to_have_value(value)


def test_reset_returns_to_the_start(page: Page) -> None:
    before = average(page)
    press(page, slider(page, "λ"), "Home")
    assert average(page) != before
    page.get_by_role("button", name="Reset").click()
    settled(page)
    assert average(page) == before


def test_lambda_zero_is_the_base(page: Page) -> None:
    press(page, slider(page, "λ"), "Home")
    base = page.locator(".accuracy dl dt", has_text=re.compile("^base$")).locator("xpath=following-sibling::dd[1]")
    assert average(page) == base.inner_text()


def test_a_method_brings_its_own_knobs_formula_and_paper(page: Page) -> None:
    choose_method(page, "ties")
    settled(page)
    expect(page.locator(".rail").get_by_role("slider", name=re.compile("density", re.I))).to_be_visible()
    page.get_by_role("button", name="formula and source of the merge method").click()
    card = page.locator(".explainer:popover-open")
    expect(card).to_contain_text("TIES")
    expect(card.get_by_role("link")).to_have_attribute("href", re.compile("^https://arxiv.org/"))
    page.keyboard.press("Escape")
    choose_method(page, "task_arithmetic")
    settled(page)
    expect(page.get_by_label("mask", exact=True)).to_be_visible()
    page.get_by_label("mask", exact=True).select_option("magnitude")
    settled(page)
    expect(page.locator(".rail").get_by_role("slider", name=re.compile("density", re.I))).to_be_visible()


@pytest.mark.slow
def test_every_method_answers(page: Page) -> None:
    page.get_by_label("method", exact=True).click()
    for name in page.locator(".picker [role=option]").evaluate_all("options => options.map(o => o.dataset.value)"):
        choose_method(page, name)
        settled(page)
        expect(page.locator(".notice")).to_be_hidden()
        assert float(average(page)) > 0


def test_a_switch_shows_its_state_and_changes_the_merge(page: Page) -> None:
    choose_method(page, "linear")
    settled(page)
    before = average(page)
    switch = page.get_by_role("checkbox", name=re.compile("sum of weights"))
    expect(switch).to_be_checked()
    switch.uncheck()
    settled(page)
    assert average(page) != before


def test_the_handle_on_the_path_is_lambda(page: Page) -> None:
    handle = page.get_by_role("slider", name="λ on the loss chart")
    start = float(slider(page, "λ").input_value())
    handle.focus()
    page.keyboard.press("ArrowRight")
    settled(page)
    assert float(slider(page, "λ").input_value()) == pytest.approx(start + 0.01)
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    settled(page)
    assert float(slider(page, "λ").input_value()) > start + 0.05


def test_a_point_of_the_layer_profile_can_be_dragged(page: Page) -> None:
    point = page.get_by_role("slider", name="factor at block 2")
    box = point.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = float(point.get_attribute("aria-valuenow") or "nan")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 30, steps=5)
    page.mouse.up()
    settled(page)
    assert float(point.get_attribute("aria-valuenow") or "nan") > before + 0.1
    assert page.get_by_label("profile", exact=True).input_value() == "curve"


def test_strangers_have_a_barrier_and_brothers_have_none(page: Page) -> None:
    page.get_by_label("base", exact=True).select_option("basins")
    settled(page)
    page.get_by_label("path", exact=True).select_option("between")
    heights = {}
    for a, b in (("zoo:basins/left", "zoo:basins/right"), ("zoo:basins/stranger-1", "zoo:basins/stranger-2")):
        page.get_by_label("from", exact=True).select_option(a)
        page.get_by_label("to", exact=True).select_option(b)
        settled(page)
        heights[a] = float(page.locator('[data-value="barrier"]').inner_text().replace("−", "-"))
    assert heights["zoo:basins/left"] < 0.1
    assert heights["zoo:basins/stranger-1"] > 0.3


def test_leaving_out_every_expert_says_so_and_keeps_the_charts(page: Page) -> None:
    before = average(page)
    switches = page.locator(".experts").get_by_role("switch")
    for index in range(switches.count()):
        switches.nth(index).click()
    notice = page.locator(".notice")
    expect(notice).to_be_visible()
    settled(page)
    expect(notice).to_be_visible()
    expect(page.locator(".experts").get_by_role("switch", checked=True)).to_have_count(1)
    assert average(page)
    page.get_by_role("button", name="Reset").click()
    settled(page)
    assert average(page) == before
    expect(page.locator(".notice")).to_be_hidden()


def test_switches_and_sliders_moved_faster_than_the_server_answers_are_all_heard(page: Page) -> None:
    switches = page.locator(".experts").get_by_role("switch")
    page.evaluate("""() => {
      const [first, second, third] = document.querySelectorAll(".experts [role=switch]");
      first.click();
      second.click();
      const slider = third.parentElement.querySelector("input[type=range]");
      slider.value = 0.5;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      third.focus();
    }""")
    settled(page)
    expect(switches.nth(0)).not_to_be_checked()
    expect(switches.nth(1)).not_to_be_checked()
    expect(switches.nth(2)).to_be_checked()
    assert page.locator(".experts > .slider-row input[type=range]").nth(2).input_value() == "0.5"


def test_a_test_score_is_a_separate_act_and_is_counted(page: Page) -> None:
    page.get_by_role("button", name="Score on test").click()
    score = page.get_by_role("status", name="Test score")
    expect(score).to_contain_text("first test score")
    expect(score).to_contain_text(re.compile(r"n \d[\d\s]*, test split"))
    press(page, slider(page, "λ"), "Home")
    expect(score).to_be_hidden()
    page.get_by_role("button", name="Score on test").click()
    expect(score).to_contain_text("2 test scores")
    expect(page.locator(".accuracy .stage")).to_contain_text("validation")


def test_history_remembers_returns_and_compares(page: Page) -> None:
    first = average(page)
    page.get_by_role("button", name="pin this merge").first.click()
    press(page, slider(page, "λ"), "Home")
    entries = page.locator(".merge-entry")
    expect(entries).to_have_count(2)
    expect(page.locator(".comparison")).to_contain_text("paired")
    page.locator(".merge-entry.pinned .open").click()
    settled(page)
    assert average(page) == first


def test_a_visitor_never_sees_the_history_of_another(browser: Browser, studio: StudioProcess, page: Page) -> None:
    press(page, slider(page, "λ"), "PageUp")
    assert page.locator(".merge-entry").count() == 2
    with visitor(browser, studio.url) as (context, _):
        other = open_studio(context, studio.url)
        assert other.locator(".merge-entry").count() == 1


def test_the_page_says_so_when_the_server_is_gone_and_recovers_and_its_link_opens_after_the_restart(
    browser: Browser, tmp_path: Path
) -> None:
    process = StudioProcess(tmp_path).start()
    try:
        with visitor(browser, process.url) as (context, _):
            page = open_studio(context, process.url)
            choose_method(page, "dare_ties")
            press(page, slider(page, "λ"), "ArrowRight", 7)
            seen = average(page), slider(page, "λ").input_value()
            page.get_by_role("button", name="Share").click()
            field = page.get_by_label("link to this merge")
            expect(field).to_have_value(re.compile(r"\?s="))
            link = field.input_value()
            page.keyboard.press("Escape")

            process.stop()
            slider(page, "λ").focus()
            page.keyboard.press("Home")
            expect(page.locator(".notice")).to_contain_text("does not answer")
            assert average(page) == seen[0]
            process.start()
            settled(page)
            expect(page.locator(".notice")).to_be_hidden()
            assert average(page) != seen[0]
        with visitor(browser, process.url) as (context, witness):
            page = open_studio(context, link)
            assert (average(page), slider(page, "λ").input_value()) == seen
            expect(page.get_by_label("method", exact=True)).to_have_attribute("data-value", "dare_ties")
            assert_quiet(witness)
    finally:
        process.stop()


def test_a_reload_keeps_the_state(page: Page) -> None:
    press(page, slider(page, "λ"), "ArrowRight", 5)
    seen = average(page), slider(page, "λ").input_value()
    page.reload()
    settled(page)
    assert (average(page), slider(page, "λ").input_value()) == seen


def test_a_damaged_link_opens_the_studio_with_a_plain_message(browser: Browser, studio: StudioProcess) -> None:
    with visitor(browser, studio.url) as (context, witness):
        page = open_studio(context, studio.url + "?s=1.thisisnotalink")
        expect(page.locator(".notice")).to_contain_text("link")
        assert float(average(page)) > 20
        assert_quiet(witness)


def test_a_drag_with_the_mouse_follows_live(page: Page) -> None:
    control = slider(page, "λ")
    box = control.bounding_box()
    assert box is not None
    page.evaluate(WATCH_PREVIEWS)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.down()
    for drawn in range(4):
        for step in range(5):
            page.mouse.move(box["x"] + (0.3 + 0.05 * drawn + 0.01 * step) * box["width"], y)
        page.wait_for_function("many => window.drawn.size > many", arg=drawn)
    page.mouse.up()
    settled(page)
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
