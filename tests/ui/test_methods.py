"""Methods that take some of the experts, or none of their weights: the page says which, and lets one choose."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.ui.studio import average, choose_method, settled


def choose(page: Page, name: str) -> None:
    choose_method(page, name)
    settled(page)
    expect(page.locator(".notice")).to_be_hidden()


def used(page: Page) -> list[str]:
    switches = page.get_by_role("switch").all()
    names = [
        str(switch.get_attribute("aria-label")) for switch in switches if switch.get_attribute("aria-checked") == "true"
    ]
    return [name.removeprefix("use ") for name in names]


def test_slerp_says_which_two_it_uses_loses_none_and_exchanges_them_by_keyboard(page: Page) -> None:
    everybody = used(page)
    choose(page, "slerp")
    assert used(page) == ["Digits", "Letters"]
    choose(page, "ties")
    assert used(page) == everybody and len(everybody) == 6
    choose(page, "slerp")
    note = page.get_by_role("status").filter(has_text="From Digits (t = 0) to Letters (t = 1).")
    expect(note).to_be_visible()
    page.get_by_role("switch", name="use Greek").focus()
    page.keyboard.press("Enter")
    settled(page)
    assert used(page) == ["Digits", "Greek"]
    before = average(page)
    share = page.get_by_role("slider", name=re.compile("^t$"))
    share.focus()
    page.keyboard.press("End")
    settled(page)
    assert (share.input_value(), average(page) != before) == ("1", True)
    expect(page.locator(".notice")).to_be_hidden()


def test_a_parameter_that_stands_beside_one_choice_alone_comes_and_goes_with_it(page: Page) -> None:
    choose(page, "consensus")
    kept = page.get_by_role("slider", name=re.compile("^Density", re.IGNORECASE))
    expect(kept).to_be_hidden()
    vector = page.get_by_label(re.compile("^merged vector$", re.IGNORECASE))
    vector.select_option("ties")
    settled(page)
    expect(kept).to_be_visible()
    kept.focus()
    page.keyboard.press("ArrowRight")
    settled(page)
    vector.select_option("sum")
    settled(page)
    expect(kept).to_be_hidden()
    expect(page.locator(".notice")).to_be_hidden()


@pytest.mark.slow
def test_wise_ft_takes_one_expert_without_a_weight_and_the_next_click_takes_another(page: Page) -> None:
    choose(page, "wise_ft")
    assert used(page) == ["Digits"]
    expect(page.get_by_label("digits", exact=True)).to_be_hidden()
    page.get_by_role("switch", name="use Shapes").click()
    settled(page)
    assert used(page) == ["Shapes"]
    choose(page, "model_stock")
    assert used(page) == ["Shapes", "Counting"]


@pytest.mark.slow
def test_preferences_of_a_rewarded_soup_begin_at_zero(page: Page) -> None:
    choose(page, "rewarded_soup")
    digits = page.get_by_label("digits", exact=True)
    assert digits.get_attribute("min") == "0"
    digits.focus()
    page.keyboard.press("Home")
    settled(page)
    assert digits.input_value() == "0"
    expect(page.locator(".notice")).to_be_hidden()
    choose(page, "task_arithmetic")
    assert digits.get_attribute("min") == "-1"
