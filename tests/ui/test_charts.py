"""What a visitor takes from a chart: pictures, a file of numbers, a table, a sentence."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Response, expect

from app.charts.tables import csv_of, rows_of
from tests.ui.conftest import assert_quiet
from tests.ui.studio import PHONE, StudioProcess, open_studio, settled, visitor

CHARTS = {"accuracy": "Accuracy per task", "path": "Path", "layers": "Layers", "cosines": "Cosines of task vectors"}


def take(page: Page, title: str, form: str) -> tuple[str, bytes]:
    """Save a chart, by keyboard, and return the file's name and content."""
    page.get_by_role("button", name=f"save {title} as a picture or a table").press("Enter")
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"{title} as {form}", exact=True).press("Enter")
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def newest(responses: list[Response]) -> dict[str, dict[str, Any]]:
    """The newest answer of each kind of the live loop."""
    answers = [json.loads(response.text()) for response in responses if "component_server" in response.url]
    return {answer["want"]: answer for answer in answers if isinstance(answer, dict) and "want" in answer}


def cells(text: str) -> list[list[Any]]:
    def value(cell: str) -> Any:
        return float(cell) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", cell) else cell

    return [[value(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]


def test_the_csv_of_each_chart_holds_what_the_server_makes_of_the_same_numbers(shared: Page) -> None:
    page = shared
    responses: list[Response] = []

    def note(response: Response) -> None:
        responses.append(response)

    page.on("response", note)
    slider = page.get_by_role("slider", name="λ", exact=True)
    slider.press("ArrowRight")
    settled(page)
    heard = newest(responses)
    answers = {
        "accuracy": heard["settle"],
        "path": heard["path"],
        "layers": heard["layers"],
        "cosines": heard["layers"],
    }
    for kind, title in CHARTS.items():
        name, content = take(page, title, "CSV")
        assert name == f"basin-{kind}-{answers[kind]['hash'][:12]}.csv"
        assert cells(content.decode()) == cells(csv_of(*rows_of(kind, answers[kind]["numbers"])))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pictures_from_the_page_carry_title_split_and_n_on_the_theme_s_ground(
    browser: Browser, studio: StudioProcess, dark: bool
) -> None:
    with visitor(browser, studio.url) as (context, witness):
        page = open_studio(context, studio.url + ("?__theme=dark" if dark else "?__theme=light"))
        for title in CHARTS.values():
            name, content = take(page, title, "PNG")
            picture = Image.open(io.BytesIO(content))
            assert re.fullmatch(r"basin-[a-z]+-[0-9a-f]{12}\.png", name)
            assert picture.size == (1800, 840)
            assert picture.convert("RGB").getpixel((4, 4)) == ((0x17, 0x1A, 0x20) if dark else (255, 255, 255))
        _, content = take(page, "Accuracy per task", "SVG")
        root = ElementTree.fromstring(content)
        said = " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text"))
        measured = page.get_by_role("region", name="Accuracy per task", exact=True).locator(".stage").inner_text()
        assert re.fullmatch(r"validation, all [\d\u202f]+", measured)
        for part in ("Accuracy per task", f"{measured} examples", "recipe", "digits", "average", "75%"):
            assert part in said
        assert not [element for element in root.iter() if element.tag.endswith(("}script", "}a", "}foreignObject"))]
        assert_quiet(witness)


def test_a_table_stands_behind_every_chart_and_follows_the_merge(shared: Page) -> None:
    page = shared
    for title in CHARTS.values():
        page.get_by_role("button", name=f"save {title} as a picture or a table").press("Enter")
        page.get_by_role("button", name=f"{title} as a table", exact=True).press("Enter")
        table = page.get_by_role("region", name=f"{title} as a table")
        expect(table.get_by_role("group", name=f"the numbers of {title}")).to_be_focused()
        assert table.get_by_role("row").count() > 6
        expect(table.get_by_role("columnheader", name="split", exact=True)).to_be_attached()
        page.keyboard.press("Escape")
        expect(table).to_be_hidden()
    page.get_by_role("button", name="save Layers as a picture or a table").press("Enter")
    page.get_by_role("button", name="Layers as a table", exact=True).press("Enter")
    source = page.get_by_role("region", name="Layers as a table").locator(".source")
    before = source.inner_text()
    page.get_by_role("slider", name="λ", exact=True).press("ArrowRight")
    expect(source).not_to_have_text(before)
    page.keyboard.press("Escape")
    settled(page)


def test_each_chart_says_in_one_sentence_what_it_shows_and_on_what(shared: Page) -> None:
    page = shared
    for title, words in (("Accuracy per task", "validation, all"), ("Path", "preview of"), ("Layers", "weights only")):
        page.get_by_role("button", name=f"what {title} shows").press("Enter")
        card = page.get_by_role("region", name=f"about {title}")
        expect(card).to_contain_text(words)
        assert len(card.locator("p").first.inner_text()) > 60
        page.keyboard.press("Escape")
        expect(card).to_be_hidden()


def test_the_tools_of_a_chart_fit_on_a_phone(browser: Browser, studio: StudioProcess) -> None:
    with visitor(browser, studio.url, PHONE) as (context, witness):
        page = open_studio(context, studio.url)
        page.get_by_role("button", name="save Path as a picture or a table").click()
        page.get_by_role("button", name="Path as a table").click()
        table = page.get_by_role("region", name="Path as a table")
        expect(table).to_have_attribute("style", re.compile("left:"))
        box = table.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert_quiet(witness)


def test_a_test_score_and_a_trade_off_are_taken_as_pictures_and_numbers_too(shared: Page) -> None:
    page = shared
    page.get_by_role("button", name="Score on test").click()
    expect(page.locator(".test-score strong")).to_contain_text("Test:")
    name, content = take(page, "Test score", "CSV")
    assert re.fullmatch(r"basin-test-[0-9a-f]{12}\.csv", name)
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert {row["split"] for row in rows} == {"test"} and {row["subset"] for row in rows} == {"full"}
    average = next(row for row in rows if (row["task"], row["model"]) == ("average", "merge"))
    shown = page.locator(".test-score strong").inner_text()
    assert f"Test: {100 * float(average['accuracy (fraction)']):.1f} ±" in shown
    trade_off = page.locator(".trade-off")
    trade_off.scroll_into_view_if_needed()
    expect(trade_off).to_have_attribute("data-complete", "true")
    name, content = take(page, "Trade-off of one expert", "CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert name == "basin-trade-off.csv" and [row["curve"] for row in rows] == ["LiNeS"] * 6 + ["WiSE-FT"] * 6
    assert [float(row["value"]) for row in rows[:6]] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert rows[5]["accuracy on its own task (fraction)"] == rows[11]["accuracy on its own task (fraction)"]
    name, content = take(page, "Trade-off of one expert", "PNG")
    assert name == "basin-trade-off.png" and Image.open(io.BytesIO(content)).size == (1800, 840)
