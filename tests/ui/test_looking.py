"""What a visitor does to look closer, in a real browser: draw, open a picture, click a task."""

from __future__ import annotations

import io
import re

import numpy
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from merging_core.evaluation.pictures import gray, resized
from tests.ui.studio import DESKTOP, settled

ANSWERED_ALIKE = """() => {
  const said = (kind) => [...document.querySelectorAll(`.guesses .${kind} td`)].map((cell) => cell.innerText).join(" ");
  return said("merge") !== "" && said("merge") === said("base");
}"""
LABEL_AT = """(place) => {
  const plot = document.querySelector(".accuracy .plot");
  const box = plot.getBoundingClientRect();
  const axis = plot._fullLayout.xaxis;
  return [box.left + axis._offset + axis.l2p(place), box.bottom - 12];
}"""
SEEN = """() => {
  const seen = document.querySelector(".seen");
  const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
  return [...data].filter((_, i) => i % 4 === 0);
}"""


def try_it(page: Page) -> Locator:
    panel = page.get_by_role("region", name="Try it")
    panel.scroll_into_view_if_needed()
    expect(panel).to_have_attribute("data-source", "example")
    return panel


def test_a_stroke_is_answered_by_every_model_and_follows_the_sliders(page: Page) -> None:
    panel = try_it(page)
    expect(panel.locator(".guesses tbody tr")).to_have_count(8)
    panel.get_by_role("button", name="Clear").click()
    expect(panel.locator(".guesses tbody tr")).to_have_count(0)
    box = panel.locator(".pad").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 105, box["y"] + 170, steps=6)
    page.mouse.up()
    expect(panel).to_have_attribute("data-source", "drawing")
    expect(panel.locator(".guesses tbody tr")).to_have_count(8)
    expect(panel.get_by_role("status")).to_contain_text("not like the data these models learned from")
    page.wait_for_function(f"() => !({ANSWERED_ALIKE})()")
    page.get_by_role("slider", name="λ", exact=True).focus()
    page.keyboard.press("Home")
    settled(page)
    panel.scroll_into_view_if_needed()
    page.wait_for_function(ANSWERED_ALIKE)


def test_an_example_is_picked_by_keyboard_and_its_true_class_is_said(page: Page) -> None:
    panel = try_it(page)
    example = panel.get_by_role("button", name=re.compile("^example 4 of"))
    name = example.get_attribute("aria-label") or ""
    example.focus()
    page.keyboard.press("Enter")
    expect(example).to_have_attribute("aria-pressed", "true")
    expect(panel.locator(".stage")).to_contain_text(name.rpartition(" ")[2])


def test_an_opened_picture_is_seen_as_the_library_prepares_it_and_another_file_is_refused(page: Page) -> None:
    panel = try_it(page)
    colours = numpy.random.default_rng(5).integers(0, 120, (256, 256, 3), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "PNG")
    chooser = panel.get_by_label("Open a picture")
    chooser.set_input_files({"name": "noise.png", "mimeType": "image/png", "buffer": file.getvalue()})
    expect(panel).to_have_attribute("data-source", "drawing")
    wanted = resized(gray(colours), 32).flatten().astype(int)
    seen = numpy.array(page.evaluate(SEEN))
    assert numpy.abs(seen - wanted).max() <= 1
    chooser.set_input_files({"name": "words.txt", "mimeType": "text/plain", "buffer": b"words"})
    expect(panel.get_by_role("status")).to_contain_text("That file is no picture")
    chooser.set_input_files({"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG broken"})
    expect(panel.get_by_role("status")).to_contain_text("cannot be read")


def test_a_picture_may_fall_anywhere_on_the_panel(page: Page) -> None:
    panel = try_it(page)
    panel.locator(".answers").evaluate(
        """async (target) => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
          const context = canvas.getContext("2d");
          context.fillStyle = "white";
          context.fillRect(12, 4, 8, 24);
          const picture = await new Promise((done) => canvas.toBlob(done, "image/png"));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([picture], "one.png", { type: "image/png" }));
          target.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    expect(panel).to_have_attribute("data-source", "drawing")


def test_a_click_on_a_task_shows_its_confusion_and_the_pictures_behind_it(page: Page) -> None:
    panel = page.get_by_role("region", name="Look closer")
    x, y = page.evaluate(LABEL_AT, 1)
    page.mouse.click(x, y)
    expect(panel).to_have_attribute("data-task", "tiny/letters")
    expect(panel.locator(".summary").first).to_be_in_viewport()
    counts = panel.locator(".counts tbody td").all_text_contents()
    assert len(counts) == 26 * 26
    n = sum(map(int, counts))
    assert n > 100
    expect(panel.locator(".stage").first).to_have_text(f"validation, all {n}")
    lost = panel.locator(".strip-box").first
    number = int(re.findall(rf"right: (\d+) of {n}", lost.locator("h3").inner_text())[0])
    assert lost.locator("li .tile").count() == min(number, 24)
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"], "the page scrolls sideways"
    panel.get_by_label("task", exact=True).select_option("tiny/shapes")
    expect(panel).to_have_attribute("data-task", "tiny/shapes")
    assert panel.locator(".counts tbody tr").count() == 10
    before = panel.locator(".summary").first.inner_text()
    page.get_by_role("slider", name="λ", exact=True).focus()
    page.keyboard.press("Home")
    settled(page)
    expect(panel.locator(".summary").first).not_to_have_text(before)


def test_the_trade_off_of_an_expert_is_measured_when_it_comes_into_view(page: Page) -> None:
    trade_off = page.locator(".trade-off")
    trade_off.scroll_into_view_if_needed()
    expect(trade_off).to_have_attribute("data-complete", "true")
    expect(trade_off.locator("tbody tr")).to_have_count(12)
    expect(trade_off.locator(".stage")).to_contain_text("preview")
    assert trade_off.locator(".plot .scatterlayer .trace").count() == 4
