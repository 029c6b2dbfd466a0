"""What nearly every job needs, imported once in the process that jobs are forked from (`processes`).

That process computes nothing and starts no thread; libraries read here how many threads they may have later.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import merging_core.engines  # noqa: E402
import merging_core.evaluation.evaluator  # noqa: E402
import merging_core.learning  # noqa: E402, F401
