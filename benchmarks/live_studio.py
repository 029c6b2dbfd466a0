"""Measure the studio's latencies in a real browser, server and browser on the same machine.

    python -m benchmarks.live_studio [--samples 35] [--json]

Every figure is taken inside the page with `performance.now()`, from the moment an `input` event is dispatched on a
slider to the animation frame after the chart was drawn:

- preview: accuracy chart of the new merge on the preview subset
- path, layers: the path (ends, middle, current) and the layer panel
- settled: the full validation split of all tasks, after the slider stopped
- drag: a pointer dragged for three seconds; how many different merges were drawn
- first numbers: from navigation to the first accuracy chart, server already up

A slider rests for REST seconds before each move, and nothing listens to the page while it is timed. How fast a core
multiplies matrices is measured before each control, since on a shared machine it changes within minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch
from playwright.sync_api import Page, sync_playwright

from tests.ui.browser import ensure_browser
from tests.ui.studio import DESKTOP, StudioProcess, choose_method, open_studio, settled

WARM = 2
"""Moves of a slider that are not counted: they fill caches."""

REST = 0.3

TARGETS = {"preview": (120, 250), "path": (400, None), "layers": (400, None), "settled": (600, None)}

MEASURE = """async ([name, value]) => {
  const root = document.querySelector(".basin");
  const slider = [...document.querySelectorAll(".rail input[type=range]")]
    .find((one) => one.labels[0]?.textContent === name);
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  const asked = Number(root.dataset.asked);
  const reached = async (kind) => {
    while (Number(root.dataset[kind] ?? 0) < asked) await new Promise((done) => {
      const watch = new MutationObserver(() => { watch.disconnect(); done(); });
      watch.observe(root, { attributes: true });
    });
    await frame();
    return performance.now() - start;
  };
  const [preview, path, layers, settled] = await Promise.all(["preview", "path", "layers", "settle"].map(reached));
  slider.dispatchEvent(new Event("change", { bubbles: true }));
  return { preview, path, layers, settled };
}"""

FIRST = """() => {
  const root = document.querySelector(".basin");
  const entry = performance.getEntriesByName("basin-first-numbers")[0];
  return entry ? entry.startTime : null;
}"""

WATCH = """() => {
  const root = document.querySelector(".basin");
  window.drawnMerges = new Set();
  new MutationObserver(() => window.drawnMerges.add(root.dataset.preview))
    .observe(root, { attributes: true, attributeFilter: ["data-preview"] });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=35)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.samples)
    print(json.dumps(figures, indent=1) if arguments.json else as_text(figures))


def measure(samples: int) -> dict[str, object]:
    """Start a server and a browser, and take all figures."""
    executable = ensure_browser()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        process = StudioProcess(Path(folder)).start()
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        try:
            context = browser.new_context(viewport={"width": DESKTOP["width"], "height": DESKTOP["height"]})
            open_studio(context, process.url).close()  # the server is warm and the browser has its files
            page = open_studio(context, process.url)
            first = page.evaluate(FIRST)
            kinds = {
                "λ": [0.2 + 0.02 * i for i in range(samples + WARM)],
                first_expert(page): [0.3 + 0.03 * i for i in range(samples + WARM)],
            }
            controls = {name: series(page, name, values) for name, values in kinds.items()}
            choose_method(page, "ties")
            settled(page)
            density = page.locator(".rail input[type=range]").evaluate_all(
                "all => all.map(one => one.labels[0]?.textContent).find(text => /densit/i.test(text))"
            )
            controls["density (TIES)"] = series(page, density, [0.1 + 0.02 * i for i in range(samples + WARM)])
            return {
                "machine": f"{platform.processor() or platform.machine()}, {browser.version}",
                "samples": samples,
                "first_numbers_ms": first,
                "controls": controls,
                "drag": drag(page),
            }
        finally:
            browser.close()
            process.stop()


def first_expert(page: Page) -> str:
    return page.locator(".experts > .slider-row > label").first.inner_text()


def core_speed() -> float:
    """Multiply matrices for a tenth of a second on one core and return GFLOP/s."""
    threads, n = torch.get_num_threads(), 384
    torch.set_num_threads(1)
    a, done, start = torch.ones(n, n), 0, time.perf_counter()
    while time.perf_counter() - start < 0.1:
        torch.mm(a, a)
        done += 1
    spent = time.perf_counter() - start
    torch.set_num_threads(threads)
    return 2e-9 * n**3 * done / spent


def series(page: Page, name: str, values: list[float]) -> dict[str, dict[str, float]]:
    taken: dict[str, list[float]] = {}
    speed = core_speed()
    for i, value in enumerate(values):
        page.wait_for_timeout(1e3 * REST)
        one = page.evaluate(MEASURE, [name, round(value, 2)])
        settled(page)
        if i >= WARM:
            for kind, milliseconds in one.items():
                taken.setdefault(kind, []).append(milliseconds)
    return {**{kind: spread(numbers) for kind, numbers in taken.items()}, "core": {"gflops": speed}}


def spread(numbers: list[float]) -> dict[str, float]:
    ordered = sorted(numbers)
    return {
        "median": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))],
        "n": len(ordered),
    }


def drag(page: Page) -> dict[str, float]:
    """Drag λ for three seconds and count the merges that were drawn."""
    page.evaluate(WATCH)
    box = page.get_by_role("slider", name="λ", exact=True).bounding_box()
    assert box is not None, "the λ slider is on the screen"
    y, steps = box["y"] + box["height"] / 2, 180
    page.mouse.move(box["x"] + 0.2 * box["width"], y)
    page.mouse.down()
    for step in range(steps):
        page.mouse.move(box["x"] + (0.2 + 0.6 * step / steps) * box["width"], y)
        page.wait_for_timeout(3000 / steps)
    page.mouse.up()
    settled(page)
    return {"merges_drawn_in_3_s": page.evaluate("window.drawnMerges.size")}


def as_text(figures: dict[str, object]) -> str:
    lines = [f"{figures['machine']}; {figures['samples']} counted samples a control; milliseconds"]
    lines.append(f"first numbers on the screen: {figures['first_numbers_ms']:.0f} (target 3000)")
    lines.append(f"{'slider':<18}{'figure':<10}{'median':>8}{'p95':>8}   target")
    controls = figures["controls"]
    assert isinstance(controls, dict)
    for name, kinds in controls.items():
        lines.append(f"{name}: a core does {kinds['core']['gflops']:.0f} GFLOP/s")
        for kind, numbers in kinds.items():
            if kind not in TARGETS:
                continue
            median, p95 = TARGETS[kind]
            target = f"≤ {median}" + (f", p95 ≤ {p95}" if p95 else "")
            lines.append(f"{name:<18}{kind:<10}{numbers['median']:>8.0f}{numbers['p95']:>8.0f}   {target}")
    lines.append(f"three-second drag of λ: {figures['drag']['merges_drawn_in_3_s']} merges drawn")  # type: ignore[index]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
