"""The library, the history and stored links as the page asks for them, on a pretended workbench."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from app.library.result import ResultFile, write_file
from app.sharing.link import decode
from app.studio import pairs
from tests.app.library.results import result
from tests.app.pretend import PretendServer
from tests.app.wire import Browser, sentences

HOSTILE = "<img src=x onerror=alert(1)> =cmd|' /C calc'!A0 \u202e\u0000 名"


def saved(browser: Browser, *lambdas: float, names: tuple[str, ...] = ()) -> list[str]:
    """Save the default merge at each λ; return the results' ids."""
    state = browser.state()
    ids = []
    for place, lambda_ in enumerate(lambdas):
        state["recipe"]["lambda"] = lambda_
        name = names[place] if names else ""
        answer = browser.call("save", {"state": state, "name": name})
        assert answer["ok"], answer
        ids.append(answer["id"])
    return ids


def packed(data: bytes) -> dict[str, str]:
    return {"packed": base64.b64encode(gzip.compress(data)).decode()}


# --- the library -----------------------------------------------------------------------------------------------------


def test_a_saved_merge_is_found_with_the_numbers_that_the_studio_shows(ann: Browser) -> None:
    state = ann.state()
    settled = ann.live("settle", state)
    (id_,) = saved(ann, state["recipe"]["lambda"], names=("  my\nmerge ",))
    answer = ann.call("library", {})
    (row,) = answer["rows"]
    assert (row["id"], row["name"], row["method"], answer["matching"]) == (id_, "my merge", "task_arithmetic", 1)
    assert row["average"] == settled["numbers"]["average"]["accuracy"]
    assert row["interval"] == settled["numbers"]["average"]["interval"]
    assert [task["accuracy"] for task in row["tasks"]] == [task["accuracy"] for task in settled["numbers"]["tasks"]]
    page = ann.call("library_result", {"id": id_})["page"]
    assert page["hash"] == settled["hash"] and page["state"]["recipe"] == state["recipe"]
    assert set(page["figures"]) == {"accuracy", "path", "layers"}
    assert page["environment"] == {"basin": "0", "device": "pretend", "torch": page["environment"]["torch"]}


def test_a_test_score_is_saved_with_the_merge_of_whoever_took_it(ann: Browser, bob: Browser) -> None:
    state = ann.state()
    ann.call("score_on_test", {"state": state})
    (id_,) = saved(ann, state["recipe"]["lambda"])
    (same,) = saved(bob, state["recipe"]["lambda"])
    assert same == id_
    assert ann.call("library_result", {"id": id_})["page"]["numbers"]["test"]["test_scores"] == 1
    assert bob.call("library_result", {"id": id_})["page"]["numbers"]["test"] is None
    assert ann.call("library", {})["rows"][0]["tested"] is True
    assert bob.call("library", {})["rows"][0]["tested"] is False


def test_results_are_filtered_sorted_renamed_tagged_and_deleted_with_a_way_back(ann: Browser) -> None:
    first, second, third = saved(ann, 0.1, 0.2, 0.3)
    assert ann.call("library_rename", {"id": second, "name": "the good one"})["ok"]
    assert ann.call("library_tag", {"ids": [first, second], "add": ["Talk"]})["ok"]

    def ids(**search: Any) -> list[str]:
        return [row["id"] for row in ann.call("library", search)["rows"]]

    assert ids() == [third, second, first]
    assert ids(text="good") == [second]
    assert ids(tag="talk") == [second, first]
    assert ids(method="ties") == []
    assert ids(sort="average", descending=False, limit=1, offset=2) == [third]
    assert ann.call("library_tag", {"ids": [first], "drop": ["talk"]})["ok"] and ids(tag="talk") == [second]
    assert ann.call("library_delete", {"ids": [first, second]})["deleted"] == 2 and ids() == [third]
    assert ann.call("library_restore", {})["restored"] == 2 and ids() == [third, second, first]


def test_results_are_compared_in_pairs_and_their_recipes_in_words(ann: Browser) -> None:
    first, second = saved(ann, 0.2, 0.5, names=("a", "b"))
    answer = ann.call("library_compare", {"ids": [first, second]})
    (other,) = answer["others"]
    assert (answer["first"]["name"], other["name"], other["recipe"]) == ("a", "b", ["λ 0.2 → 0.5"])
    a, b = (ann.call("library_result", {"id": id_})["page"]["numbers"]["accuracy"] for id_ in (first, second))
    expected = b["average"]["accuracy"] - a["average"]["accuracy"]
    assert other["differences"]["average"]["difference"] == pytest.approx(expected)
    assert other["words"].startswith("The interval lies")


def test_results_of_different_examples_are_not_paired_and_say_why(ann: Browser) -> None:
    (here,) = saved(ann, 0.25)
    elsewhere = ann.call("library_import", packed(write_file(ResultFile(result()))))["id"]
    (other,) = ann.call("library_compare", {"ids": [here, elsewhere]})["others"]
    assert other["differences"] is None and "different examples" in other["words"] and other["recipe"]


def test_the_table_is_the_same_in_csv_and_parquet(ann: Browser) -> None:
    saved(ann, 0.1, 0.2, names=("=1+1", "plain"))
    csv, parquet = (ann.call("library_download", {"form": form}) for form in ("csv", "parquet"))
    assert (csv["name"], parquet["name"]) == ("basin-library.csv", "basin-library.parquet")
    one = pandas.read_csv(io.BytesIO(base64.b64decode(csv["data"])))
    two = pandas.read_parquet(io.BytesIO(base64.b64decode(parquet["data"])))
    assert list(one.columns) == list(two.columns) and len(one) == len(two) == 2
    assert list(one["name"]) == ["plain", "'=1+1"] and list(two["name"]) == ["plain", "=1+1"]
    numpy.testing.assert_allclose(one["average"], two["average"])
    numpy.testing.assert_allclose(two["lambda"], [0.2, 0.1])
    tasks = [column for column in two.columns if re.fullmatch(r"tiny/\w+", column)]
    numpy.testing.assert_allclose(two[tasks].mean(axis=1), two["average"])
    assert json.loads(two["recipe"][0])["lambda"] == 0.2


def test_a_merge_whose_numbers_differ_between_leaves_is_kept_told_and_listed_like_any_other(ann: Browser) -> None:
    state = ann.state()
    state["recipe"]["lambda"] = [0.1, 0.4]
    state["recipe"]["models"][0]["weight"] = [{"filter": "mlp", "value": 0.5}, {"value": 1.0}]
    for kind in ("preview", "settle", "path", "layers"):
        assert ann.live(kind, state)["ok"], kind
    kept = ann.call("save", {"state": state, "name": ""})
    (row,) = ann.call("library", {})["rows"]
    assert "λ varies" in row["label"]
    assert ann.call("library_result", {"id": kept["id"]})["page"]["state"]["recipe"] == state["recipe"]
    csv = ann.call("library_download", {"form": "csv"})
    table = pandas.read_csv(io.BytesIO(base64.b64decode(csv["data"])))
    assert table["lambda"].isna().all() and json.loads(table["recipe"][0])["lambda"] == [0.1, 0.4]
    one = {**state, "recipe": {**state["recipe"], "lambda": 0.4}}
    other = ann.call("save", {"state": one, "name": ""})
    (compared,) = ann.call("library_compare", {"ids": [kept["id"], other["id"]]})["others"]
    assert compared["recipe"] == ["λ (0.1 … 0.4) → 0.4"]


def test_a_result_goes_out_as_a_file_and_comes_in_for_somebody_else(ann: Browser, bob: Browser) -> None:
    (id_,) = saved(ann, 0.35, names=("../../etc/passwd",))
    ann.call("library_tag", {"ids": [id_], "add": ["t"]})
    file = ann.call("library_download", {"form": "result", "ids": [id_]})
    assert file["name"] == "etc-passwd.basin.json"
    answer = bob.call("library_import", packed(base64.b64decode(file["data"])))
    assert answer["ok"] and answer["new"]
    (row,) = bob.call("library", {})["rows"]
    assert (row["imported"], row["name"], row["tags"]) == (True, "../../etc/passwd", ["t"])
    hers = ann.call("library_result", {"id": id_})["page"]
    his = bob.call("library_result", {"id": row["id"]})["page"]
    assert his["imported"] and not hers["imported"] and his["numbers"] == hers["numbers"]
    assert row["id"] != id_


@pytest.mark.parametrize(
    "message",
    [
        {"packed": "not base64"},
        {"packed": base64.b64encode(b"not gzip").decode()},
        {"packed": base64.b64encode(gzip.compress(b"{}")[:-6]).decode()},
        packed(b"{"),
        packed(b" " * (1024 * 1024 + 1)),
        packed(write_file(ResultFile(result())).replace(b"0.75", b"0.76")),
        {},
    ],
)
def test_a_damaged_file_gets_a_sentence_and_leaves_nothing(ann: Browser, message: dict[str, Any]) -> None:
    assert all(text.endswith((".", "?")) and len(text) < 400 for text in sentences(ann.call("library_import", message)))
    assert ann.call("library", {})["matching"] == 0


def test_hostile_names_and_tags_are_kept_as_one_printable_line(ann: Browser) -> None:
    (id_,) = saved(ann, 0.4, names=(HOSTILE,))
    ann.call("library_tag", {"ids": [id_], "add": [HOSTILE[:30]]})
    (row,) = ann.call("library", {"text": "<img"})["rows"]
    assert row["name"] == "<img src=x onerror=alert(1)> =cmd|' /C calc'!A0 名"
    assert row["tags"] == ["<img src=x onerror=alert(1)> ="]
    found = ann.call("library_download", {"form": "csv"})
    assert "\u202e" not in base64.b64decode(found["data"]).decode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("save", {"state": 3}),
        ("save", {"state": {}, "name": "x" * 121}),
        ("library", {"sort": "visitor"}),
        ("library", {"offset": -1}),
        ("library", {"limit": 10_000}),
        ("library", {"text": "x" * 201}),
        ("library_result", {"id": "x"}),
        ("library_result", {"id": "0" * 64}),
        ("library_rename", {"id": "0" * 64, "name": "x"}),
        ("library_tag", {"ids": []}),
        ("library_tag", {"ids": ["0" * 64], "add": [""]}),
        ("library_tag", {"ids": ["0" * 64], "add": ["x" * 41]}),
        ("library_compare", {"ids": ["0" * 64]}),
        ("library_download", {"form": "exe"}),
        ("library_download", {"form": "csv"}),
        ("library_download", {"form": "result"}),
        ("stored", {}),
        ("recompute", {}),
        ("recompute", {"r": "0" * 32}),
        ("recompute", {"id": "short"}),
        ("unshare_result", {"id": "0" * 32}),
        ("share_result", {}),
        ("share_result", {"id": "0" * 64}),
        ("pin_merge", {"hash": "0" * 64}),
        ("name_merge", {"hash": "0" * 64, "name": "x"}),
        ("remove_merge", {"hash": 5}),
    ],
)
def test_what_cannot_be_asked_gets_sentences(ann: Browser, name: str, message: dict[str, Any]) -> None:
    assert all(text.endswith((".", "?")) for text in sentences(ann.call(name, message)))


# --- the history -----------------------------------------------------------------------------------------------------


def test_a_pinned_merge_is_kept_in_the_library_under_its_name(ann: Browser) -> None:
    settled = ann.live("settle", ann.state())
    assert ann.call("name_merge", {"hash": settled["hash"], "name": "start"})["history"][0]["name"] == "start"
    answer = ann.call("pin_merge", {"hash": settled["hash"]})
    assert answer["history"][0]["pinned"] is True
    (row,) = ann.call("library", {})["rows"]
    assert (row["id"], row["name"]) == (answer["saved"], "start")
    assert ann.call("pin_merge", {})["history"][0]["pinned"] is False
    assert ann.call("library", {})["matching"] == 1


def test_a_merge_that_a_full_library_cannot_keep_is_not_pinned(ann: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    settled = ann.live("settle", ann.state())
    monkeypatch.setattr("app.library.store.MOST", 0)
    assert "export and delete some first" in sentences(ann.call("pin_merge", {"hash": settled["hash"]}))[0]
    assert ann.call("hello")["history"][0]["pinned"] is False


def test_two_merges_of_the_history_are_compared_with_their_recipes(ann: Browser) -> None:
    state = ann.state()
    a = ann.live("settle", state)["hash"]
    state["recipe"]["lambda"] = 0.7
    state["recipe"]["models"] = state["recipe"]["models"][:-1]
    b = ann.live("settle", state)["hash"]
    answer = ann.call("compare", {"a": a, "b": b})
    assert answer["recipe"] == ["Greek left out", "λ 0.3 → 0.7"]
    assert answer["differences"]["average"]["n"] == 1500


def test_a_merge_is_removed_and_brought_back(ann: Browser) -> None:
    settled = ann.live("settle", ann.state())
    assert ann.call("remove_merge", {"hash": settled["hash"]})["history"] == []
    assert ann.call("hello")["history"] == []
    assert [row["hash"] for row in ann.call("restore_merge", {})["history"]] == [settled["hash"]]


def test_pin_name_library_and_links_survive_a_restart(tmp_path: Path) -> None:
    first = PretendServer(tmp_path)
    with Browser(first.url) as ann:
        settled = ann.live("settle", ann.state())
        ann.call("name_merge", {"hash": settled["hash"], "name": "kept"})
        ann.call("pin_merge", {"hash": settled["hash"]})
        (row,) = ann.call("library", {})["rows"]
        query = ann.call("share_result", {"id": row["id"]})["query"]
        cookies = dict(ann.client.cookies)
    first.stop()
    second = PretendServer(tmp_path)
    with Browser(second.url) as again:
        page = again.call("stored", {"r": query.split("&")[0].removeprefix("r=")})
        assert again.call("library", {})["rows"] == []
        again.client.cookies.clear()
        again.client.cookies.update(cookies)
        (merge,) = again.call("hello")["history"]
        assert (merge["hash"], merge["name"], merge["pinned"]) == (settled["hash"], "kept", True)
        assert [one["id"] for one in again.call("library", {})["rows"]] == [row["id"]]
    second.stop()
    assert page["found"] is True and page["page"]["hash"] == settled["hash"]


# --- stored links ----------------------------------------------------------------------------------------------------


def test_a_stored_link_opens_at_once_for_anybody_and_measures_nothing(
    server: PretendServer, ann: Browser, bob: Browser
) -> None:
    state = ann.state()
    state["recipe"]["lambda"] = 0.44
    answer = ann.call("share_result", {"state": state})
    query = dict(part.split("=", 1) for part in answer["query"].split("&"))
    assert re.fullmatch(r"[0-9a-f]{32}", query["r"]) and decode(query["recipe"])["recipe"] == state["recipe"]
    server.bench.computed.clear()
    found = bob.call("stored", {"r": query["r"]})
    assert server.bench.computed == []
    assert found["found"] and set(found["page"]["figures"]) == {"accuracy", "path", "layers"}
    assert found["page"]["state"]["recipe"] == state["recipe"]
    assert bob.call("library", {})["rows"] == [] and "name" not in found
    assert ann.call("library", {})["rows"][0]["shared"] is True


def test_an_unknown_or_withdrawn_result_falls_back_to_the_recipe_in_the_link(ann: Browser, bob: Browser) -> None:
    state = ann.state()
    answer = ann.call("share_result", {"state": state})
    r, payload = (part.split("=", 1)[1] for part in answer["query"].split("&"))
    assert ann.call("unshare_result", {"id": answer["id"]})["ok"]
    for address in (r, "0" * 32, "../../x", "'; --"):
        gone = bob.call("stored", {"r": address})
        assert gone["ok"] and gone["found"] is False and "recipe is opened instead" in gone["notice"]
        assert ("not shared any more" in gone["notice"]) == (address == r)
    assert bob.call("hello", {"link": payload})["state"]["recipe"] == state["recipe"]


def test_the_link_of_a_deleted_result_says_that_it_was_deleted_and_opens_its_recipe(ann: Browser, bob: Browser) -> None:
    answer = ann.call("share_result", {"state": ann.state()})
    r = answer["query"].split("&")[0].removeprefix("r=")
    assert ann.call("library_delete", {"ids": [answer["id"]]})["deleted"] == 1
    notice = "The result of this link was deleted by its owner. Its recipe is opened instead."
    assert bob.call("stored", {"r": r})["notice"] == notice
    assert bob.call("recompute", {"r": r})["ok"] is False
    assert bob.client.get(f"/basin-card/{r}.png").status_code == 404
    assert ann.call("library_restore", {})["restored"] == 1
    assert bob.call("stored", {"r": r})["found"] is True


def test_recomputing_says_that_nothing_changed_or_what_did(ann: Browser, bob: Browser) -> None:
    state = ann.state()
    state["recipe"]["lambda"] = 0.52
    r = ann.call("share_result", {"state": state})["query"].split("&")[0].removeprefix("r=")
    same = bob.call("recompute", {"r": r})
    assert same["differences"]["average"]["difference"] == 0 and same["changes"] == []
    assert same["words"] == "The same numbers: every one of the 1500 examples is answered as it was."
    elsewhere = ann.call("library_import", packed(write_file(ResultFile(result()))))["id"]
    other = ann.call("recompute", {"id": elsewhere})
    assert other["differences"] is None
    assert "the checkpoints have other contents than when it was stored" in other["changes"]
    assert any(change.startswith("device: cpu, now pretend") for change in other["changes"])


def test_the_head_of_a_shared_page_carries_its_card_and_the_picture_has_its_size(ann: Browser) -> None:
    r = ann.call("share_result", {"state": ann.state()})["query"].split("&")[0].removeprefix("r=")
    headers = {"accept": "text/html", "host": "basin.example", "x-forwarded-proto": "https"}
    text = ann.client.get(f"/?r={r}", headers=headers).text
    tags = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[\w:]+)" content="([^"]*)"', text))
    assert tags["og:title"].startswith("Task arithmetic, λ 0.3, all experts: ")
    assert "n 1500" in tags["og:description"] and tags["twitter:card"] == "summary_large_image"
    assert tags["og:image"] == f"https://basin.example/basin-card/{r}.png" == tags["twitter:image"]
    assert text.count("og:title") == 1 and "gradio.app" not in tags.values()
    picture = ann.client.get(f"/basin-card/{r}.png")
    assert picture.headers["content-type"] == "image/png" and "max-age" in picture.headers["cache-control"]
    assert picture.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert tuple(int.from_bytes(picture.content[at : at + 4]) for at in (16, 20)) == (1200, 630)


@pytest.mark.parametrize("query", ["", "?r=" + "0" * 32, '?r="><script>alert(1)</script>', "?r=" + "x" * 3000])
def test_every_other_page_has_basins_plain_card(ann: Browser, query: str) -> None:
    answer = ann.client.get(f"/{query}", headers={"accept": "text/html"})
    assert answer.status_code == 200 and "<script>alert" not in answer.text.partition("</head>")[0].partition("og:")[2]
    assert '<meta property="og:title" content="Basin" />' in answer.text and "og:image" not in answer.text
    assert int(answer.headers.get("content-length", len(answer.content))) <= len(answer.content)
    assert ann.client.get("/basin-card/" + "0" * 32 + ".png").status_code == 404


def test_a_paired_comparison_agrees_with_one_that_was_written_otherwise() -> None:
    from app.studio.numbers import difference_numbers

    generator = numpy.random.default_rng(5)
    sizes = {"a": 240, "b": 300}
    first = {task: generator.random(n) < 0.6 for task, n in sizes.items()}
    second = {task: first[task] ^ (generator.random(n) < 0.2) for task, n in sizes.items()}
    found = difference_numbers(pairs.unpack(pairs.pack(first)), pairs.unpack(pairs.pack(second)), {})["average"]
    draws = []
    for _ in range(4000):
        means = []
        for task, n in sizes.items():
            chosen = generator.integers(0, n, n)
            means.append(second[task][chosen].mean() - first[task][chosen].mean())
        draws.append(sum(means) / len(means))
    expected = sum(float(second[task].mean() - first[task].mean()) for task in sizes) / len(sizes)
    assert found["difference"] == pytest.approx(expected)
    numpy.testing.assert_allclose(found["interval"], numpy.percentile(draws, [2.5, 97.5]), atol=0.006)
