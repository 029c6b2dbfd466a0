"""`python -m merging_core`: the command line."""

import os
import sys

# Read when torch is loaded: threads that wait for work sleep instead of taking turns at spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if __name__ == "__main__":
    try:
        from merging_core.cli.main import main

        sys.exit(main())
    except KeyboardInterrupt:  # while the command line itself was still being imported
        sys.exit(130)
