"""A worker's operations stay on one core, whatever the rest of the process does."""

import torch

from merging_core.cores import single_threaded_pool


def test_a_worker_keeps_one_thread_when_the_process_has_more() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pool = single_threaded_pool(2, "test")
        seen = list(pool.map(lambda _: (torch.get_num_threads(), float(torch.ones(1 << 20).sum())), range(4)))
        again = list(pool.map(lambda _: torch.get_num_threads(), range(4)))
        assert seen == [(1, float(1 << 20))] * 4
        assert again == [1] * 4
        assert torch.get_num_threads() == 3
        pool.shutdown()
    finally:
        torch.set_num_threads(before)
