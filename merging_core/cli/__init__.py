"""The command line: parse, call the core, print. `python -m merging_core --help` lists the commands.

Answers go to stdout, as aligned text or, with `--json`, as one JSON document. Bad input ends with status 2 and one
message on stderr, and with nothing else on either.
"""
