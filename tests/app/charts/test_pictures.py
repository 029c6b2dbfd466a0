"""Pictures made on the server: tested as files, as places on the sheet, and pixel by pixel where a value must lie."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from app.charts import accuracy, layers, path
from app.charts.drawing.axes import axes_of, ticks_of
from app.charts.drawing.letters import Style, fitted, lines_of, plain, width_of
from app.charts.drawing.marks import offsets
from app.charts.pictures import PictureError, render
from app.charts.roles import Figure, axis, caption, colour, figure, fraction_axis
from tests.app.charts.test_charts import HOSTILE, PALETTE, accuracy_numbers, layer_numbers, path_numbers

FIGURES = {
    "accuracy": accuracy.figure_of(accuracy_numbers(title=HOSTILE)),
    "pinned": accuracy.figure_of(accuracy_numbers(pinned=0.6)),
    "path": path.figure_of(path_numbers()),
    "layers": layers.figure_of(layer_numbers()),
}
INK = Style(12, (0.0, 0.0, 0.0, 1.0))
BAR: Figure = {"type": "bar", "x": [0.0, 1.0], "y": [0.25, 0.75], "width": 0.5, "marker": {"color": "#ff0000"}}


def image(figure: Figure, **more: Any) -> np.ndarray:
    more = {"scale": 1, "legend": False, **more}
    return np.asarray(Image.open(io.BytesIO(render(figure, form="png", **more))).convert("RGB")).astype(int)


def parsed(figure: Figure, **more: Any) -> ElementTree.Element:
    return ElementTree.fromstring(render(figure, form="svg", **more))


def words(root: ElementTree.Element) -> str:
    return root.findtext("{http://www.w3.org/2000/svg}desc") or ""


def bare(traces: list[dict[str, Any]], **layout: Any) -> Figure:
    """A figure without margins: 200 × 200 pixels are the plot."""
    quiet = {"visible": False}
    frame = {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "xaxis": {**quiet, "range": [-0.5, 1.5]}, "barmode": "overlay"}
    return figure(traces, {**frame, "yaxis": {**quiet, "range": [0, 1]}, **layout})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", FIGURES)
def test_a_png_has_the_size_that_was_asked_for(name: str, theme: str) -> None:
    made = render(
        FIGURES[name], form="png", theme=theme, width=640, height=300, scale=1.5, title="Title\nvalidation, n 9"
    )
    picture = Image.open(io.BytesIO(made))
    assert (picture.format, picture.size) == ("PNG", (960, 450))
    assert picture.convert("RGB").getpixel((1, 1)) == ((255, 255, 255) if theme == "light" else (0x17, 0x1A, 0x20))


@pytest.mark.parametrize("form", ["png", "svg"])
@pytest.mark.parametrize("name", FIGURES)
def test_the_same_figure_is_the_same_file_and_dark_is_another(name: str, form: str) -> None:
    once = render(FIGURES[name], form=form, title="Title")
    assert once == render(FIGURES[name], form=form, title="Title")
    assert once != render(FIGURES[name], form=form, title="Title", theme="dark")


def test_threads_that_draw_at_once_draw_what_one_draws_alone() -> None:
    alone = [render(made, form="svg", title=name) for name, made in FIGURES.items()]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(render, made, form="svg", title=name) for name, made in FIGURES.items()]
        assert [one.result() for one in waiting] == alone


def test_an_svg_says_what_it_shows() -> None:
    root = parsed(accuracy.figure_of(accuracy_numbers(tasks=2)), title="Accuracy per task\nvalidation, n 64")
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "Accuracy per task\nvalidation, n 64"
    for text in ("● 0", "● 1", "average", "25%", "merge", "simple average", "validation, n 64"):
        assert text in words(root)
    assert (root.get("width"), root.get("height"), root.get("role")) == ("900", "420", "img")


@pytest.mark.parametrize("name", FIGURES)
def test_names_from_outside_are_inert_in_an_svg(name: str) -> None:
    title = f'{HOSTILE} --> <script>alert(1)</script> "quoted" ]]>'
    text = render(FIGURES[name], form="svg", title=title).decode()
    root = ElementTree.fromstring(text)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "defs", "g", "path", "use", "clipPath", "rect"}
    attributes = {(key.rpartition("}")[2], value) for element in root.iter() for key, value in element.items()}
    assert not {key for key, _ in attributes if key.startswith("on")}
    assert all(value.startswith("#") for key, value in attributes if key == "href")
    assert "<!--" not in text and "http" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", text)


def test_every_reference_in_an_svg_has_its_target_and_two_figures_share_no_id() -> None:
    ids = []
    for made in (FIGURES["path"], FIGURES["layers"]):
        text = render(made, form="svg").decode()
        own = re.findall(r'\bid="([^"]+)"', text)
        assert len(own) == len(set(own))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(own)
        ids.append(set(own))
    assert not ids[0] & ids[1]


def test_letters_that_the_font_lacks_are_boxes_and_nobody_is_warned() -> None:
    made = accuracy.figure_of(accuracy_numbers(tasks=1))
    assert "□□" in words(parsed(made, title="数字"))
    assert render(made, form="png", title="\x00\u202e\U0001f600")


def test_a_bar_ends_at_its_value() -> None:
    red = (image(bare([BAR]), width=200, height=200) == [255, 0, 0]).all(axis=2)
    columns = [red[:, x].sum() for x in (10, 50, 100, 150, 190)]
    assert columns == [0, 50, 0, 150, 0]
    assert red[199, 26:74].all() and not red[:, 22].any() and not red[:, 78].any()


def test_an_interval_reaches_from_its_low_to_its_high_end() -> None:
    error = {
        "type": "data",
        "array": [0.25, 0.0],
        "arrayminus": [0.1, 0.0],
        "color": "#0000ff",
        "thickness": 2,
        "width": 4,
    }
    drawn = image(bare([{**BAR, "y": [0.5, None], "error_y": error}]), width=200, height=200)
    blue = (drawn[:, :, 2] > 200) & (drawn[:, :, 0] < 60)
    rows = np.flatnonzero(blue[:, 49:51].any(axis=1))
    assert abs(rows[0] - 50) <= 1 and abs(rows[-1] - 120) <= 1
    assert blue[50, 47:53].all() and not blue[50, :44].any() and not blue[80, 53:].any()


def test_a_line_breaks_where_a_value_is_missing() -> None:
    line = {"type": "scatter", "mode": "lines", "x": [-0.5, 0.25, 0.5, 0.75, 1.5], "y": [0.5, 0.5, None, 0.5, 0.5]}
    drawn = image(bare([{**line, "line": {"color": "#00ff00", "width": 4}}]), width=200, height=200)
    green = (drawn == [0, 255, 0]).all(axis=2)[100]
    assert green[5:70].all() and not green[80:120].any() and green[130:195].all()


def test_a_fill_lies_between_a_trace_and_the_one_before() -> None:
    flat = {"type": "scatter", "mode": "lines", "x": [-0.5, 1.5], "line": {"width": 0}}
    band = {**flat, "y": [0.75, 0.75], "fill": "tonexty", "fillcolor": "#0000ff"}
    drawn = image(bare([{**flat, "y": [0.25, 0.25]}, band]), width=200, height=200)
    blue = (drawn == [0, 0, 255]).all(axis=2)[:, 100]
    assert blue[51:149].all() and not blue[:49].any() and not blue[151:].any()


def test_a_heatmap_puts_each_value_in_its_cell_and_leaves_unknown_ones_empty() -> None:
    scale = [[0, "#000000"], [1, "#ff0000"]]
    cells = {"type": "heatmap", "z": [[0.0, 1.0], [None, 0.5]], "colorscale": scale, "showscale": False}
    drawn = image(bare([cells], xaxis={"visible": False}, yaxis={"visible": False}), width=200, height=200)
    low, high, empty, half = drawn[150, 50], drawn[150, 150], drawn[50, 50], drawn[50, 150]
    assert low.tolist() == [0, 0, 0] and high.tolist() == [255, 0, 0] and empty.tolist() == [255, 255, 255]
    assert half.tolist() == pytest.approx([128, 0, 0], abs=1)


def test_a_matrix_with_names_texts_and_a_scale_is_drawn() -> None:
    cells = {
        "type": "heatmap",
        "x": ["a", "b"],
        "y": ["a", "b"],
        "z": [[1.0, -0.5], [-0.5, 1.0]],
        "text": [["1", "−.5"], ["−.5", "1"]],
        "texttemplate": "%{text}",
        "zmin": -1,
        "zmax": 1,
        "colorscale": [[0, colour("expert-5")], [0.5, colour("surface")], [1, colour("merge")]],
    }
    said = words(parsed(figure([cells], {"margin": {"r": 70}, "yaxis": axis("rows", autorange="reversed")})))
    assert [said.count(text) for text in ("−.5", "rows")] == [2, 1] and "−1" in said


def test_stacked_bars_stand_on_each_other_and_grouped_ones_beside() -> None:
    one, two = {"x": [0, 1], "y": [1.0, 2.0]}, {"x": [0, 1], "y": [3.0, -1.0]}
    assert [under for *_, under in offsets([one, two], {"barmode": "stack"})] == [[0.0, 0.0], [1.0, 0.0]]
    shifts = offsets([one, two], {"barmode": "group", "bargap": 0.2})
    assert [(shift, width) for shift, width, _ in shifts] == [(-0.2, 0.4), (0.2, 0.4)]


def test_a_shape_and_an_annotation_lie_where_they_say() -> None:
    shape = {"type": "line", "x0": 0.5, "x1": 0.5, "y0": 0, "y1": 1, "yref": "y domain", "line": {"color": "#0000ff"}}
    drawn = image(bare([BAR], shapes=[shape], annotations=[caption("here", 0.0)]), width=200, height=200)
    assert (drawn[5:195, 100] == [0, 0, 255]).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"type": "violin"}, "the server draws bar, scatter, heatmap and contour traces, but 'violin' came"),
        ({"marker": {"color": "role:marge"}}, "did you mean “merge”?"),
        ({"marker": {"color": "octarine"}}, "a colour is written"),
        ({"type": "scatter", "mode": "markers", "marker": {"symbol": "pentagon"}}, "a marker's symbol is known"),
        ({"type": "scatter", "line": {"dash": "wavy"}}, "a dash is one of"),
        ({"type": "scatter", "line": {"shape": "spline"}}, "a line is linear, hv or vh"),
        ({"type": "scatter", "fill": "tonext"}, "a fill is"),
        ({"type": "heatmap", "z": [[1]], "colorscale": "Viridis"}, "a heatmap gives its scale of colours"),
        ({"error_y": {"type": "percent", "value": 5}}, "an interval gives its lengths as data"),
    ],
)
def test_what_it_cannot_draw_is_said_and_not_left_out(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PictureError, match=re.escape(sentence)):
        render(figure([{**BAR, **change}], {}), form="png")


def test_every_wrong_argument_is_named_at_once() -> None:
    with pytest.raises(PictureError) as caught:
        render(figure([{"type": "pie"}], {}), form="gif", width=9, height=99999, scale=9)
    assert [problem.where for problem in caught.value.problems] == ["form", "width", "height", "scale", "figure"]
    with pytest.raises(PictureError, match="light or dark"):
        render(FIGURES["path"], form="png", theme="sepia")


def test_a_narrow_picture_is_laid_out_as_on_a_narrow_screen() -> None:
    layout = {"xaxis": axis("wide", range=[0, 1]), "yaxis": fraction_axis()}
    made = figure([BAR], layout, narrow={"xaxis.title.text": "narrow"})
    assert "narrow" in words(parsed(made, width=400)) and "wide" in words(parsed(made, width=480))


def test_ticks_are_every_one_two_or_five_of_a_power_of_ten() -> None:
    def texts(low: float, high: float, length: float = 400.0, **more: Any) -> list[str]:
        spec = {"range": [low, high], **more}
        return [text for _, text in ticks_of(axes_of({"xaxis": spec}, [], (0.0, 0.0, length, 100.0))["x"])]

    assert texts(0, 1.5) == ["0", "0.5", "1", "1.5"]
    assert texts(-1, 1, nticks=4) == ["−1", "−0.5", "0", "0.5", "1"]
    assert texts(0, 1000, nticks=5) == ["0", "200", "400", "600", "800", "1000"]
    assert texts(0, 1, tickformat=".0%", tickvals=[0, 0.5, 1]) == ["0%", "50%", "100%"]
    assert texts(-2, 0, type="log") == ["0.01", "0.1", "1"]


def test_an_axis_without_a_range_holds_its_data_and_starts_at_zero_where_it_should() -> None:
    line = {"type": "scatter", "mode": "lines", "x": [2.0, 4.0], "y": [1.0, 9.0]}

    def span(trace: dict[str, Any], **more: Any) -> tuple[float, float]:
        made = axes_of({"yaxis": more}, [trace], (0.0, 0.0, 100.0, 100.0))["y"]
        return made.low, made.high

    low, high = span(line)
    assert low < 1.0 and high > 9.0
    assert span(line, rangemode="tozero")[0] == 0.0
    assert span({**line, "type": "bar"})[0] == 0.0
    assert span({**line, "y": [None, None]}) == pytest.approx((-0.0556, 1.0556), abs=1e-3)
    assert span({**line, "mode": "markers", "marker": {"size": 10}}) == pytest.approx((0.0, 10.0))


def test_letters_keep_their_tags_to_themselves() -> None:
    (line,) = lines_of('<span style="color:#ff0000">●</span> a &lt;b&gt; <script>', INK)
    assert [run.text for run in line] == ["●", " a <b> <script>"]
    assert line[0].style.colour == (1.0, 0.0, 0.0, 1.0)
    assert plain("<b>x</b>", INK)[0][0].text == "<b>x</b>"


def test_a_long_title_is_cut_to_the_room_it_has() -> None:
    cut = fitted("a very long title indeed", INK, 60)
    assert cut.endswith("…") and width_of(plain(cut, INK)[0]) <= 60
    assert fitted("short", INK, 60) == "short"


def test_all_roles_of_both_palettes_can_be_painted() -> None:
    for theme, roles in PALETTE.items():
        dots = {"type": "scatter", "mode": "markers", "x": [0], "y": [0], "marker": {"size": 4}}
        traces = [{**dots, "name": role, "marker": {"color": colour(role)}} for role in roles]
        assert render(figure(traces, {}), form="png", theme=theme, width=300, height=300, scale=1)


def bowl(**more: Any) -> dict[str, Any]:
    """A contour of x + 10·y on a square: 0 to 11, levels at 2, 4, 6 and 8."""
    at = [0.0, 0.5, 1.0]
    stops = [[0.0, "#000000"], [1.0, "#ffffff"]]
    levels = {"start": 2, "end": 8, "size": 2, "showlines": False}
    z = [[x + 10 * y for x in at] for y in at]
    return {"type": "contour", "x": at, "y": at, "z": z, "colorscale": stops, "contours": levels, **more}


def test_bands_of_a_contour_lie_between_its_levels_in_even_steps_of_its_scale() -> None:
    square = {"visible": False, "range": [0, 1]}
    pixels = image(bare([bowl(showscale=False)], xaxis=square), width=200, height=200)
    column = [int(pixels[round(200 * (1 - y)), 2, 0]) for y in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert column == pytest.approx([0, 64, 128, 191, 255], abs=1)


def test_a_contour_has_a_hole_where_nothing_is_known() -> None:
    z: list[list[float | None]] = [[5.0] * 5 for _ in range(5)]
    z[2][2] = None
    at = [0, 0.25, 0.5, 0.75, 1]
    square = {"visible": False, "range": [0, 1]}
    pixels = image(bare([bowl(x=at, y=at, z=z, showscale=False)], xaxis=square), width=200, height=200)
    assert pixels[100, 100].tolist() == [255, 255, 255] and pixels[10, 10].tolist() != [255, 255, 255]


def test_a_contour_that_leaves_its_levels_to_plotly_is_refused() -> None:
    with pytest.raises(PictureError, match="start, end and size"):
        render(bare([bowl(contours={})]), form="png")


def test_a_unit_is_as_long_on_an_axis_as_on_the_one_it_is_bound_to() -> None:
    layout = {"xaxis": {"range": [0, 4]}, "yaxis": {"range": [0, 1], "scaleanchor": "x"}}
    axes = axes_of(layout, [], (0.0, 0.0, 200.0, 200.0))
    assert (axes["x"].length(), axes["y"].length(), axes["y"].start, axes["y"].stop) == (200.0, 50.0, 125.0, 75.0)


def test_the_ticks_of_a_scale_are_those_that_the_figure_names() -> None:
    bar = {"title": {"text": "loss"}, "tickvals": [2, 4], "ticktext": ["two", "four"]}
    assert "loss" in words(parsed(bare([bowl(colorbar=bar)]))) and "four" in words(parsed(bare([bowl(colorbar=bar)])))
