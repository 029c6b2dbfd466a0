"""Comparing all methods, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from app.sharing import link
from tests.ui.axe import findings
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, open_studio, settled, visitor

STATE = {
    "version": 1,
    "family": "basins",
    "recipe": {
        "version": 1,
        "base": "zoo:basins/start",
        "models": [{"ref": "zoo:basins/left"}, {"ref": "zoo:basins/right"}],
        "method": {"name": "task_arithmetic"},
    },
    "path": {"kind": "lambda"},
    "metric": "loss",
}


def test_rows_stream_in_stay_after_a_reload_and_one_press_brings_a_method_to_the_studio(
    browser: Browser, studio: StudioProcess
) -> None:
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, f"{studio.url}?s={link.encode(STATE)}")
        page.get_by_role("tab", name="Compare").click()
        page.get_by_label("with a short search").check()
        page.get_by_role("button", name="Compare", exact=True).click()
        rows = page.locator(".all-methods tr.method")
        expect(rows.first).to_be_visible()
        expect(page.locator(".all-methods[data-state=done]")).to_be_visible()
        expect(page.get_by_text(re.compile("methods? do(es)? not apply"))).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert findings(page) == []
        many = rows.count()

        page.reload()
        expect(rows).to_have_count(many)
        expect(page.get_by_label("with a short search")).to_be_checked()
        page.get_by_role("button", name=re.compile("^the defaults of TIES")).press("Enter")
        expect(page.get_by_role("tab", name="Studio")).to_have_attribute("aria-selected", "true")
        settled(page)
        method = page.get_by_label("method", exact=True)
        expect(method).to_have_attribute("data-value", "ties")
        page.get_by_role("button", name="Undo").click()
        settled(page)
        expect(method).to_have_attribute("data-value", "task_arithmetic")
        assert_quiet(witness)
