"""Open Basin: `python app.py`, in any environment that has requirements.txt."""

import os
import sys

# Read when torch is loaded: threads that wait for work sleep, so that evaluation and browser get the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if __name__ == "__main__":
    from app.main import main

    sys.exit(main())
