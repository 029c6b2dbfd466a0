"""Numbers that differ from leaf to leaf, and an expert's own: set in the page, undone, and kept in the address."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlparse

from playwright.sync_api import Page, expect

from app.sharing import link
from tests.ui.axe import findings
from tests.ui.studio import address_of, choose_method, settled


def recipe(page: Page) -> dict[str, Any]:
    """The recipe that the page has written into its address."""
    settled(page)
    query = parse_qs(urlparse(address_of(page)).query)
    found: dict[str, Any] = link.decode(query["s"][0])["recipe"]
    return found


def test_weights_and_densities_vary_by_name_over_depth_and_for_one_expert(page: Page) -> None:
    choose_method(page, "ties")
    page.get_by_role("button", name="Digits: weight from leaf to leaf").click()
    alone = page.get_by_role("group", name="Digits alone")
    alone.get_by_role("radio", name="by name").check()
    alone.get_by_label("part of a leaf's name").fill("self_attn")
    expect(alone.locator(".vary-count").first).to_have_text("48 leaves")
    there = alone.get_by_label("there: a number")
    there.fill("0, 0.5, 1")
    there.press("Tab")
    assert recipe(page)["models"][0]["weight"] == [{"filter": "self_attn", "value": [0, 0.5, 1]}, {"value": 1}]
    expect(page.locator(".experts .told").first).to_have_text("0 … 0.5 … 1 in self_attn, else 1")

    density = alone.get_by_role("slider", name="density", exact=True)
    density.focus()
    density.press("End")
    own = recipe(page)
    assert own["models"][0]["params"] == {"density": 1}
    assert own["method"]["params"]["density"] < 1
    alone.get_by_role("button", name="as for all experts").click()
    assert "params" not in recipe(page)["models"][0]

    page.get_by_role("button", name="density: over depth, or by leaf name").last.click()
    common = page.get_by_role("group", name="density from leaf to leaf").last
    common.get_by_role("radio", name="over depth").check()
    point = common.get_by_role("slider", name=re.compile("point 2 of 2"))
    point.focus()
    point.press("ArrowUp")
    params = recipe(page)["method"]["params"]
    low, high = params["density"]
    assert (params["scope"], round(high - low, 6)) == ("leaf", 0.01)
    expect(page.locator(".notice")).to_be_hidden()
    assert findings(page) == []
    for _ in range(2):
        page.keyboard.press("Control+z")
    params = recipe(page)["method"]["params"]
    assert (params["scope"], params["density"]) == ("model", low)
