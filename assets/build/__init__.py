"""The program that builds the embedded zoo; run as `python -m assets.build` from the repository root."""
