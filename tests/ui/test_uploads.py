"""Uploading in the page: what is taken joins the models, what is refused is said there, cancel leaves nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from playwright.sync_api import Browser, Page, expect
from safetensors.torch import save_file

from tests.checkpoints.build import entry, packed
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, eventually, open_studio, settled, visitor

ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo" / "tiny"


def opened(page: Page) -> None:
    page.get_by_role("button", name="Choose models", exact=True).press("Enter")
    expect(page.locator(".models-said")).to_contain_text("They fit")
    page.locator(".uploads:not(.own-tasks) > summary").press("Enter")


def give(page: Page, *files: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files…").press("Enter")
    chooser.value.set_files([str(file) for file in files])


def test_an_uploaded_expert_is_merged_and_what_is_refused_is_said(
    browser: Browser, studio: StudioProcess, tmp_path: Path
) -> None:
    mine, pickle = tmp_path / "<b>mine.safetensors", tmp_path / "model.bin"
    mine.write_bytes((ZOO / "digits" / "model.safetensors").read_bytes())
    pickle.write_bytes(b"\x80\x02}q\x00." + bytes(200))
    adapter, says = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    layer = "base_model.model.encoder.layers.0.self_attn.q_proj"
    save_file({f"{layer}.lora_A.weight": torch.ones(1, 144), f"{layer}.lora_B.weight": torch.ones(144, 1)}, adapter)
    says.write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 1}')
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, studio.url)
        opened(page)
        give(page, adapter, says)
        lora = page.locator(".models-table tr", has_text="LoRA adapter, rank 1: q_proj")
        expect(lora.get_by_role("radio")).to_be_disabled()
        lora.get_by_role("checkbox").check()
        expect(page.locator(".models-said")).to_contain_text("1 of them a LoRA adapter on the base")
        lora.get_by_role("checkbox").uncheck()
        page.get_by_role("button", name="delete upload adapter_model").click()
        give(page, pickle)
        expect(page.locator(".upload-said .trouble")).to_contain_text("a pickle")
        give(page, mine, ZOO / "digits" / "config.json")
        expect(page.locator(".upload-said")).to_contain_text("it stands under “Your uploads”")
        expect(page.locator(".upload-list li")).to_contain_text("b-mine")
        row = page.locator(".models-table tr", has_text="upload:")
        row.get_by_role("checkbox").check()
        expect(page.locator(".models-said")).to_contain_text("They fit: 8 checkpoints")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.get_by_role("button", name="Merge these models").click()
        settled(page)
        assert "b-mine" in page.locator(".experts > .slider-row > label").all_inner_texts()
        assert_quiet(witness)


def test_a_cancelled_upload_leaves_nothing_and_a_deleted_one_is_chosen_no_more(
    browser: Browser, studio: StudioProcess, tmp_path: Path
) -> None:
    large, small = tmp_path / "large.safetensors", tmp_path / "small.csv"
    large.write_bytes(packed({"a": entry("U8", [40_000_000], 0, 40_000_000)}, bytes(40_000_000)))
    small.write_bytes(b"path,label\na,b\n")
    with visitor(browser, studio.url) as (context, witness):
        page = open_studio(context, studio.url)
        opened(page)
        slow = context.new_cdp_session(page)
        slow.send("Network.enable")
        rates = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1_000_000}
        slow.send("Network.emulateNetworkConditions", rates)
        give(page, large)
        expect(page.locator(".upload-going .hint")).to_contain_text("of 40.0 MB")
        page.locator(".upload-going").get_by_role("button", name="Cancel").click()
        expect(page.locator(".upload-said")).to_contain_text("Cancelled")
        slow.send("Network.emulateNetworkConditions", {**rates, "uploadThroughput": -1})
        give(page, small)
        expect(page.locator(".upload-said")).to_contain_text("small is kept as data")
        expect(page.locator(".upload-list li")).to_have_count(1)
        page.get_by_role("button", name="delete upload small").click()
        expect(page.locator(".upload-list li")).to_have_count(0)
        kept = studio.data / "uploads"
        eventually(page, lambda: not list(kept.glob(".arriving-*")), "nothing is kept of what was cancelled")
        assert_quiet(witness)
