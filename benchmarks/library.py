"""How quick a library of many results is: `python -m benchmarks.library [results]`.

Fills a library on disk with results of the size that the zoo's merges have, and takes the time of what the page asks:
the median and the slowest of a number of calls, without the network.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.library.result import Result, ResultFile, read_file, write_file
from app.library.search import Search
from app.library.store import LibraryStore
from app.library.tables import table_file
from tests.app.library.results import result

CALLS = 20
SLOW_CALLS = 3
POINTS = 25


def large(number: int) -> Result:
    """A result with a full path and layers, as the zoo gives them."""
    one = result(0.01 * number, right=(number % 9, number * 7 % 9), method="ties" if number % 2 else "task_arithmetic")
    tasks = [{"loss": 0.5 + 0.01 * place, "accuracy": 1 / (3 + place)} for place in range(6)]
    points = [
        {
            "t": 1.5 * step / (POINTS - 1),
            "loss": 1.0 / (step + 3),
            "accuracy": 1 / 3,
            "interval": [0.3, 0.4],
            "tasks": tasks,
        }
        for step in range(POINTS)
    ]
    barrier = {metric: {"height": 0.0, "at": 0.0, "midpoint_gap": None} for metric in ("loss", "error")}
    path: dict[str, Any] = {
        "kind": "lambda",
        "a": "base",
        "b": "λ = 1.5",
        "range": [0.0, 1.5],
        "current": 0.3,
        "complete": True,
        "tasks": [{"task": f"tiny/{place}", "title": str(place), "colour": place} for place in range(6)],
        "splits": {split: {"n": 192, "of": 1500, "points": points} for split in ("validation", "train")},
        "barrier": {"validation": barrier, "train": barrier},
    }
    return replace(one, path=path)


def measured(what: str, call: Callable[[], object], calls: int = CALLS) -> None:
    """Print the median and the slowest of some calls."""
    times = []
    for _ in range(calls):
        begun = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - begun))
    print(f"{what:44} median {statistics.median(times):8.2f} ms   slowest {max(times):8.2f} ms", flush=True)


def main(count: int) -> None:
    """Fill a library and measure it."""
    with tempfile.TemporaryDirectory() as folder:
        store = LibraryStore(Path(folder))
        begun = time.perf_counter()
        ids = [
            store.save("ann", large(number), name=f"merge {number}", tags=(f"tag {number % 7}",))[0]
            for number in range(count)
        ]
        for number in range(count // 10):
            store.save(f"visitor {number}", large(number))
        print(f"{len(set(ids))} results saved in {time.perf_counter() - begun:.1f} s")
        print(f"{(Path(folder) / 'library.sqlite').stat().st_size / 1e6:.1f} MB on disk")
        for sort in ("when", "average", "name"):
            measured(f"first page, sorted by {sort}", lambda sort=sort: store.find("ann", Search(sort=sort)))  # type: ignore[misc]
        measured("a late page", lambda: store.find("ann", Search(offset=max(0, count - 60))))
        measured(
            "words, method and tag", lambda: store.find("ann", Search(words=("merge", "9"), method="ties", tag="tag 2"))
        )
        measured("methods and tags with their counts", lambda: store.facets("ann"))
        measured("one result, whole", lambda: store.get("ann", ids[0]))
        data = write_file(ResultFile(large(1)))
        measured(f"a file of {len(data) / 1000:.0f} kB, read strictly", lambda: read_file(data))
        rows = store.plain("ann")
        measured("all as CSV", lambda: table_file(rows, "csv"), SLOW_CALLS)
        measured("all as Parquet", lambda: table_file(rows, "parquet"), SLOW_CALLS)
        measured("all, read for a table", lambda: store.plain("ann"), SLOW_CALLS)
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
