"""Open Basin: `python app.py`, in any environment that has requirements.txt."""

import sys

from app.main import main

if __name__ == "__main__":
    sys.exit(main())
