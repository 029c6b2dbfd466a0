"""The memory that a process may use is the container's where that is smaller, else the machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.machine import memory_bytes


@pytest.mark.parametrize(("text", "wanted"), [("1048576\n", 1 << 20), ("max", None), ("many", None), ("0", None)])
def test_a_limit_of_the_container_counts_where_it_is_smaller(tmp_path: Path, text: str, wanted: int | None) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(text)
    assert memory_bytes((limit,)) == (wanted or memory_bytes(()))


def test_without_a_container_it_is_the_machine_s(tmp_path: Path) -> None:
    machine = memory_bytes((tmp_path / "none",))
    assert machine is not None and machine > 1 << 28
