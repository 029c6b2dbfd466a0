"""Errors become messages in one place, and say nothing that is not meant for people."""

from __future__ import annotations

import logging

import pytest

from app.notices import answer_for, redact
from merging_core.errors import CancelledError, Problem, RecipeError

TOKEN = "hf_" + 34 * "C"


def test_every_problem_becomes_its_sentence() -> None:
    error = RecipeError(Problem("density lies in (0, 1]", "2", "mask.density"), Problem("a model is named", "none"))
    answer = answer_for(error)
    assert answer["ok"] is False
    assert [problem["sentence"] for problem in answer["problems"]] == [
        "mask.density: density lies in (0, 1], but 2 came.",
        "a model is named, but none came.",
    ]


def test_superseded_work_is_told_apart() -> None:
    assert answer_for(CancelledError(Problem("newest", "newer"))) == {"ok": False, "superseded": True}


def test_an_unexpected_error_is_logged_under_a_reference_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "basin"):
        try:
            raise KeyError(f"/home/somebody/secret.txt {TOKEN}")
        except KeyError as error:
            answer = answer_for(error)
    sentence = answer["problems"][0]["sentence"]
    assert answer["reference"] in sentence and answer["reference"] in caplog.text
    assert "somebody" not in str(answer) and TOKEN not in str(answer)
    assert "KeyError" in caplog.text and "somebody" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"GET with {TOKEN}!", "GET with [redacted]!"),
        ("Authorization: Bearer", "[redacted]"),
        ("Authorization: Bearer abc.def", "[redacted]"),
        ("password=hunter2 and on", "[redacted] and on"),
        ("no secrets in the secret garden", "no secrets in the secret garden"),
    ],
)
def test_what_looks_like_a_secret_is_struck_out(text: str, left: str) -> None:
    assert redact(text) == left
