"""Learning: masks and coefficients of a merge, found by gradient descent, as a recipe with its tensors."""

from merging_core.learning.events import Checked as Checked
from merging_core.learning.events import Event as Event
from merging_core.learning.events import Finished as Finished
from merging_core.learning.events import Paused as Paused
from merging_core.learning.events import Progress as Progress
from merging_core.learning.registry import learn_method as learn_method
from merging_core.learning.registry import learn_methods as learn_methods
from merging_core.learning.session import Session as Session
from merging_core.learning.spec import LearnSpec as LearnSpec
from merging_core.learning.spec import load_spec as load_spec
from merging_core.learning.spec import parse_spec as parse_spec
from merging_core.learning.state import State as State

__all__ = [
    "Checked",
    "Event",
    "Finished",
    "LearnSpec",
    "Paused",
    "Progress",
    "Session",
    "State",
    "learn_method",
    "learn_methods",
    "load_spec",
    "parse_spec",
]
