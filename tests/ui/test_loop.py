"""What the page asks and hears, answered by hand: the live loop, pins, exports; no late answer undoes a newer one."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

_HARNESS = """async (scenario) => {
  const base = document.querySelector('link[href$="studio.css"]').href.replace("studio.css", "");
  const { createLoop } = await import(base + "loop.js");
  const seen = { drawn: [], busy: [], lost: [] };
  const asked = [];
  let broken = false;
  const ask = (message) => new Promise((resolve, reject) => asked.push({
    want: message.want, seq: message.seq, lose: () => reject(new Error("gone")),
    answer: (more = {}) => resolve({ ok: true, seq: message.seq, numbers: { complete: true }, ...more }),
  }));
  const loop = createLoop(ask, {
    onAnswer: (kind, answer) => { seen.drawn.push(`${kind} ${answer.seq}`); if (broken) throw new Error("expected"); },
    onBusy: (busy) => seen.busy.push(busy),
    onLost: (error, times) => seen.lost.push(times),
  });
  const next = async (want, seq) => {
    for (let i = 0; i < 1000; i += 1) {
      const place = asked.findIndex((one) => one.want === want && one.seq === seq);
      if (place >= 0) return asked.splice(place, 1)[0];
      await new Promise((done) => setTimeout(done, 5));
    }
    throw new Error(`${want} ${seq} was never asked`);
  };
  const idle = async () => {
    for (let i = 0; i < 1000 && seen.busy.at(-1) !== false; i += 1) await new Promise((done) => setTimeout(done, 5));
  };
  const error = console.error;
  console.error = () => {};
  await eval(scenario)({ loop, next, idle, seen, breakDrawing: (on) => { broken = on; } });
  console.error = error;
  return seen;
}"""


def _played(page: Page, scenario: str) -> dict[str, Any]:
    seen: dict[str, Any] = page.evaluate(_HARNESS, scenario)
    return seen


def test_a_settled_merge_is_not_drawn_over_the_preview_of_a_newer_one(shared: Page) -> None:
    seen = _played(
        shared,
        """async ({ loop, next, idle }) => {
          loop.push("a");
          (await next("preview", 1)).answer();
          const late = [await next("path", 1), await next("layers", 1), await next("settle", 1)];
          loop.push("b");
          (await next("preview", 2)).answer();
          late.forEach((one) => one.answer());
          for (const want of ["path", "layers", "settle"]) (await next(want, 2)).answer();
          await idle();
        }""",
    )
    assert "settle 1" not in seen["drawn"]
    assert seen["drawn"][-1] == "settle 2" and seen["busy"][-1] is False


def test_a_drawing_that_fails_stops_nothing(shared: Page) -> None:
    seen = _played(
        shared,
        """async ({ loop, next, idle, breakDrawing }) => {
          breakDrawing(true);
          loop.push("a");
          for (const want of ["preview", "path", "layers", "settle"]) (await next(want, 1)).answer();
          await idle();
          breakDrawing(false);
          loop.push("b");
          for (const want of ["preview", "path", "layers", "settle"]) (await next(want, 2)).answer();
          await idle();
        }""",
    )
    assert seen["drawn"][-4:] == ["preview 2", "path 2", "layers 2", "settle 2"] and seen["busy"][-1] is False


def test_what_was_lost_is_asked_again_once(shared: Page) -> None:
    seen = _played(
        shared,
        """async ({ loop, next, idle }) => {
          loop.push("a");
          (await next("preview", 1)).answer();
          const all = [await next("path", 1), await next("layers", 1), await next("settle", 1)];
          all.forEach((one) => one.lose());
          for (const want of ["preview", "path", "layers", "settle"]) (await next(want, 1)).answer();
          await idle();
        }""",
    )
    assert seen["lost"] == [1]
    assert seen["drawn"] == ["preview 1", "preview 1", "path 1", "layers 1", "settle 1"]
    assert seen["busy"][-1] is False


_PINS = """async () => {
  const base = document.querySelector('link[href$="studio.css"]').href.replace("studio.css", "");
  const { createHistoryPanel } = await import(base + "history.js");
  const row = (hash, pinned) => ({
    hash, pinned, name: "", label: hash, when: "2026-01-01T00:00:00Z", average: 0.5, interval: [0.4, 0.6], tasks: [],
    state: { family: hash },
  });
  const history = (pin) => ["a", "b"].map((hash) => row(hash, hash === pin));
  const asked = [];
  const server = { pin_merge: ({ hash = null }) => new Promise((answer) => asked.push({ hash, answer })) };
  const nothing = () => {};
  const notice = { problems: nothing };
  const panel = createHistoryPanel({ server, notice, open: nothing, pinChanged: nothing, save: nothing });
  const seen = [];
  const then = async (act) => {
    act();
    await new Promise((done) => setTimeout(done));
    seen.push(panel.pinned());
  };
  const press = (hash) => panel.element.querySelector(`.pin[data-hash=${hash}]`).click();
  const answer = (place, pin) => asked[place].answer({ ok: true, history: history(pin) });
  panel.show(history(null), "b");
  await then(() => press("a"));
  await then(() => panel.show(history(null), "b"));
  await then(() => press("b"));
  await then(() => answer(0, "a"));
  await then(() => answer(1, "b"));
  await then(() => press("b"));
  await then(() => asked[2].answer({ ok: false, problems: [] }));
  return { seen, asked: asked.map((one) => one.hash) };
}"""


def test_a_pin_stays_while_it_is_kept_the_newest_wins_and_a_refused_one_is_taken_back(shared: Page) -> None:
    found = shared.evaluate(_PINS)
    assert found["seen"] == ["a", "a", "b", "b", "b", None, "b"]
    assert found["asked"] == ["a", "b", None]


_EXPORTS = """async () => {
  const base = document.querySelector('link[href$="studio.css"]').href.replace("studio.css", "");
  const { createJobs } = await import(base + "export-jobs.js");
  const asked = [];
  const server = { job_list: () => new Promise((answer) => asked.push(answer)) };
  const jobs = createJobs(server, { onChange: () => {}, onTrouble: () => {} });
  const job = { id: "a", kind: "export", state: "done", title: "a", share: 1, log: [], files: [],
    problems: [], result: {} };
  const counts = [];
  const then = async (act) => {
    act();
    await new Promise((done) => setTimeout(done));
    counts.push(jobs.element.children.length);
  };
  jobs.list();
  await then(() => asked[0]({ ok: true, jobs: [job] }));
  jobs.list();
  jobs.list();
  await then(() => asked[2]({ ok: true, jobs: [] }));
  await then(() => asked[1]({ ok: true, jobs: [job] }));
  return counts;
}"""


def test_an_export_that_was_deleted_does_not_come_back_with_an_older_list(shared: Page) -> None:
    assert shared.evaluate(_EXPORTS) == [1, 0, 0]
