"""`python -m merging_core`: the command line."""

import gc
import os
import sys

from merging_core.process import prepare_process

if __name__ == "__main__":
    prepare_process()
    # What libraries make while they are imported stays: looking through it for garbage again and again finds none.
    gc.set_threshold(100_000, 20, 20)
    try:
        from merging_core.cli.main import INTERRUPTED, main

        status = main()
        if status == INTERRUPTED:  # a thread may be in one long call, which Python would wait for
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        sys.exit(status)
    except KeyboardInterrupt:  # while the command line itself was still being imported
        sys.exit(130)
