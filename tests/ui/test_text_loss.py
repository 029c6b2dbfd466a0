"""Language models of one's own, without a task: a pasted text is scored on each of them while the sliders move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import transformers
from playwright.sync_api import Browser, expect

from tests.evaluation.models import WORDS, made, saved, write_tokenizer
from tests.ui.conftest import assert_quiet
from tests.ui.studio import StudioProcess, open_studio, settled, visitor

SAID = """() => [...document.querySelectorAll(".losses tbody tr")].map((row) => row.querySelector("td").innerText)"""
FOLLOWED = """(before) => {
  const said = [...document.querySelectorAll(".losses tbody tr")].map((row) => row.querySelector("td").innerText);
  return said.length === 4 && said[0] !== before[0] && said[0] === said[1] && said[1] === before[1];
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StudioProcess]:
    models = tmp_path / "models"
    config = transformers.GPT2Config(
        vocab_size=len(WORDS), n_embd=12, n_layer=4, n_head=3, n_positions=32, bos_token_id=1, eos_token_id=2
    )
    for seed, name in enumerate(("start", "first", "second")):
        saved(made(transformers.GPT2LMHeadModel, config, seed), models / name)
    write_tokenizer(models / "start", around=False, start=True)
    process = StudioProcess(tmp_path, BASIN_MODELS=str(models)).start()
    yield process
    process.stop()


@pytest.mark.slow
def test_language_models_without_tasks_have_layers_and_a_loss_on_a_text(
    browser: Browser, server: StudioProcess
) -> None:
    with visitor(browser, server.url) as (context, witness):
        page = open_studio(context, server.url)
        panel = page.get_by_role("region", name="Loss on a text")
        expect(panel).to_be_hidden()
        page.get_by_role("button", name="Choose models", exact=True).press("Enter")
        page.locator(".models-panel").get_by_role("button", name="Clear", exact=True).click()
        page.get_by_label("local:start as base").check()
        page.get_by_label("local:first as expert").check()
        page.get_by_label("local:second as expert").check()
        page.get_by_role("button", name="Merge these models").click()
        settled(page)
        expect(page.locator(".panel.layers .plot .main-svg").first).to_be_visible()
        expect(page.get_by_role("region", name="Try it")).to_be_hidden()
        panel.scroll_into_view_if_needed()
        panel.get_by_label("text", exact=True).fill("the cat sees a red owl . the dog runs . <img>")
        expect(panel.locator(".stage")).to_have_text("n 14 tokens")
        expect(panel.locator(".losses tbody th")).to_have_text(["merge", "base", "first", "second"])
        expect(panel.get_by_role("status")).to_contain_text("in windows of 32 that begin every 16")
        before = page.evaluate(SAID)
        page.get_by_role("slider", name="λ", exact=True).focus()
        page.keyboard.press("Home")
        panel.scroll_into_view_if_needed()
        page.wait_for_function(FOLLOWED, arg=before)
        panel.get_by_label("text", exact=True).fill("owl")
        expect(panel.get_by_role("status")).not_to_contain_text("<img")
        expect(panel.locator(".stage")).to_have_text("n 1 token")
        assert_quiet(witness)
