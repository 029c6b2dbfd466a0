"""Two visitors of one server: whatever takes an id answers to its owner alone."""

from __future__ import annotations

from typing import Any

from tests.app.wire import Browser


def test_two_visitors_never_see_each_others_things(ann: Browser, bob: Browser) -> None:
    id_ = ann.call("save", {"state": ann.state(), "name": "hers"})["id"]
    state = ann.state()
    state["recipe"]["lambda"] = 0.61
    hash_ = ann.live("settle", state)["hash"]
    r = ann.call("share_result", {"id": id_})["query"].split("&")[0].removeprefix("r=")
    bob.live("settle", bob.state())

    def ask(result: str, merge: str) -> list[dict[str, Any]]:
        """Everything that takes an id, asked by the other visitor."""
        asked: list[tuple[str, dict[str, Any]]] = [
            ("library_result", {"id": result}),
            ("library_rename", {"id": result, "name": "his"}),
            ("library_tag", {"ids": [result], "add": ["his"]}),
            ("library_delete", {"ids": [result]}),
            ("library_restore", {}),
            ("library_compare", {"ids": [result, "e" * 64]}),
            *[("library_download", {"form": form, "ids": [result]}) for form in ("result", "csv", "parquet")],
            ("share_result", {"id": result}),
            ("unshare_result", {"id": result}),
            ("recompute", {"id": result}),
            ("stored", {"r": result}),
            ("stored", {"r": merge}),
            ("compare", {"a": merge, "b": merge}),
            ("name_merge", {"hash": merge, "name": "his"}),
            ("pin_merge", {"hash": merge}),
            ("remove_merge", {"hash": merge}),
            ("restore_merge", {}),
            ("library", {}),
        ]
        shown = bob.live("preview", bob.state(), pinned=merge)["numbers"]
        return [bob.call(name, message) for name, message in asked] + [shown]

    assert ask(id_, hash_) == ask("f" * 64, "f" * 64)
    found = ann.call("library_result", {"id": id_})
    assert (found["name"], found["tags"], found["share"]) == ("hers", [], r)
    assert [row["hash"] for row in ann.call("hello")["history"]] == [hash_]
