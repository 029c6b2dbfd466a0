"""The picker's questions: which methods fit, and why one does not."""

from __future__ import annotations

from app.state import default_state
from merging_core.methods.registry import methods
from tests.app.pretend import pair
from tests.app.wire import Browser, sentences


def fits(ann: Browser, state: object, **more: object) -> dict[str, dict[str, object]]:
    answer = ann.call("method_fits", {"seq": 1, "page": "p", "state": state, **more})
    assert answer["ok"] is True
    return {one["name"]: one for one in answer["methods"]}


def test_every_method_says_whether_it_fits_and_how_long_it_takes(ann: Browser) -> None:
    found = fits(ann, ann.state())
    assert list(found) == [info.name for info in methods()]
    assert found["ties"] == {"name": "ties", "fits": True, "note": "", "seconds": 0.0, "problem": None}


def test_a_method_that_takes_fewer_says_which(ann: Browser) -> None:
    found = fits(ann, ann.state())
    assert (found["slerp"]["fits"], found["slerp"]["note"]) == (False, "merges Digits and Letters only")
    assert found["wise_ft"]["note"] == "merges Digits only"


def test_what_was_merged_before_fewer_were_taken_counts(ann: Browser) -> None:
    state = ann.state()
    few = ann.call("edit", {"state": state, "change": {"kind": "method", "name": "slerp"}})["state"]
    assert fits(ann, few, models=state["recipe"]["models"])["ties"]["fits"] is True
    assert fits(ann, few)["model_stock"]["fits"] is True


def test_a_method_that_needs_a_base_says_so_where_there_is_none(ann: Browser) -> None:
    found = fits(ann, default_state(pair()).as_json())
    assert "base" in str(found["ties"]["problem"])
    assert found["ties"]["fits"] is False
    assert found["slerp"]["problem"] is None


def test_a_message_out_of_form_is_told_so(ann: Browser) -> None:
    answer = ann.call("method_fits", {"seq": -1, "state": ann.state(), "models": "all", "x": 1})
    told = " ".join(sentences(answer))
    assert "seq is a whole number" in told and "models are a list" in told and "known by name" in told
    stranger = [{"ref": "file:/etc/passwd"}]
    found = fits(ann, ann.state(), models=stranger)
    assert all(one["problem"] for one in found.values())


def test_a_page_without_models_has_no_pictures(ann: Browser) -> None:
    assert ann.post("method_picture", {"seq": 1, "state": ann.state(), "method": "ties"}).status_code != 200
