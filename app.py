"""Open Basin: `python app.py`, in any environment that has requirements.txt."""

import sys

from merging_core.process import prepare_process

if __name__ == "__main__":
    prepare_process()
    from app.main import main

    sys.exit(main())
