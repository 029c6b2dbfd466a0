"""Basin's library: checkpoints in, merges, plans and reports out. It knows nothing of the page around it.

Errors are `BasinError` and its kin (`merging_core.errors`); their text is safe to show to a visitor.
"""

from merging_core.errors import BasinError as BasinError
from merging_core.errors import Problem as Problem

__version__ = "0.1.0"

__all__ = ["BasinError", "Problem", "__version__"]
