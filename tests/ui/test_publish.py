"""On a Space in a real browser: sign in, export, publish, and find the address; nothing of it is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlparse

import pytest
from huggingface_hub import constants
from playwright.sync_api import Browser, Page, expect

from tests.app.at_a_space import space_server
from tests.app.openid import OpenId, token_of
from tests.app.pretend import PretendServer
from tests.hub.uploads import Repo, UploadHub
from tests.ui.studio import DESKTOP, PHONE, address_of, open_studio, visitor
from tests.ui.test_learning import findings


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PretendServer, UploadHub, OpenId]]:
    provider, hub = OpenId(), UploadHub()
    hub.accounts[token_of("ann")] = "ann"
    hub.whoami = {"orgs": [{"name": "lab", "roleInOrg": "write"}]}
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET"):
        monkeypatch.setattr(constants, name, name == "HF_HUB_DISABLE_XET")
        monkeypatch.setenv(name, str(int(name == "HF_HUB_DISABLE_XET")))
    with ThreadPoolExecutor(1) as thread:
        server = thread.submit(space_server, tmp_path, provider, monkeypatch, hub=hub.url).result()
        yield server, hub, provider
        thread.submit(server.stop).result()
    hub.stop()
    provider.stop()


def opened_form(page: Page) -> None:
    card = page.get_by_role("region", name="Export", exact=True)
    if page.locator(".menu-button").is_visible():
        page.locator(".menu-button").click()
    page.get_by_role("button", name="Export", exact=True).click()
    card.locator(".export-job summary").first.click()
    card.get_by_text("Publish on the Hugging Face Hub").click()


def test_a_visitor_signs_in_publishes_and_is_given_the_address(
    browser: Browser, world: tuple[PretendServer, UploadHub, OpenId]
) -> None:
    server, hub, provider = world
    hub.repos["models", "ann/taken"] = Repo(False, {}, {"notes.txt": b"mine"})
    with visitor(browser, server.url, DESKTOP) as (context, witness):
        page = open_studio(context, server.url)
        page.get_by_role("button", name="Export", exact=True).click()
        card = page.get_by_role("region", name="Export", exact=True)
        card.get_by_role("button", name="Start export").click()
        expect(card.locator("[data-state=done]")).to_be_visible()
        card.get_by_text("Publish on the Hugging Face Hub").click()
        expect(card.get_by_text("you publish with an account of the Hub, but none came")).to_be_visible()
        before = address_of(page)
        card.get_by_role("link", name="Sign in").click()
        expect(page.locator(".account-name")).to_have_text("ann")
        expect(page).to_have_url(before)

        opened_form(page)
        repository, start = card.get_by_label("repository"), card.get_by_role("button", name="Publish", exact=True)
        expect(card.get_by_text("It is made, private, with 10 files")).to_be_visible()
        assert repository.input_value().startswith("ann/basin-task-arithmetic-")
        repository.fill("ann/taken")
        expect(card.get_by_text("It holds one file already")).to_be_visible()
        expect(start).to_be_disabled()
        owner = card.get_by_label("owner")
        assert owner.locator("option").all_inner_texts() == ["ann", "lab"]
        owner.select_option("lab")
        expect(repository).to_have_value("lab/taken")
        repository.fill("ann/merge")
        expect(owner).to_have_value("ann")
        expect(card.get_by_text("It is made, private")).to_be_visible()
        start.click()
        address = card.get_by_role("link", name=f"{hub.url}/ann/merge")
        expect(address).to_be_visible()
        assert address.get_attribute("href") == f"{hub.url}/ann/merge"
        assert hub.model("ann/merge").private and "model.safetensors" in hub.model("ann/merge").files

        page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        page.keyboard.press("Escape")
        page.locator(".menu-button").click()
        page.get_by_role("button", name="Export", exact=True).click()
        card.locator(".export-job").last.locator("summary").first.click()
        card.get_by_text("Publish on the Hugging Face Hub").click()
        expect(card.get_by_text("It is made, private")).to_be_visible()
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert witness.errors == []
        assert {urlparse(url).netloc for url in witness.outside} == {urlparse(provider.url).netloc}
