"""`python -m merging_core`: the command line."""

import sys

from merging_core.process import prepare_process

if __name__ == "__main__":
    prepare_process()
    try:
        from merging_core.cli.main import main

        sys.exit(main())
    except KeyboardInterrupt:  # while the command line itself was still being imported
        sys.exit(130)
