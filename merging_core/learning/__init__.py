"""Learning: runs that make recipes (masks and coefficients of a merge, with their tensors) and experts."""

from merging_core.learning.events import Checked as Checked
from merging_core.learning.events import Ended as Ended
from merging_core.learning.events import Event as Event
from merging_core.learning.events import Finished as Finished
from merging_core.learning.events import Paused as Paused
from merging_core.learning.events import Progress as Progress
from merging_core.learning.events import Trained as Trained
from merging_core.learning.events import Tried as Tried
from merging_core.learning.registry import learn_method as learn_method
from merging_core.learning.registry import learn_methods as learn_methods
from merging_core.learning.runs import Bench as Bench
from merging_core.learning.runs import Heed as Heed
from merging_core.learning.runs import Run as Run
from merging_core.learning.runs import open_run as open_run
from merging_core.learning.session import Session as Session
from merging_core.learning.spec import LearnSpec as LearnSpec
from merging_core.learning.spec import load_spec as load_spec
from merging_core.learning.spec import parse_spec as parse_spec
from merging_core.learning.state import State as State

__all__ = [
    "Bench",
    "Checked",
    "Ended",
    "Event",
    "Finished",
    "Heed",
    "LearnSpec",
    "Paused",
    "Progress",
    "Run",
    "Session",
    "State",
    "Trained",
    "Tried",
    "learn_method",
    "learn_methods",
    "load_spec",
    "open_run",
    "parse_spec",
]
