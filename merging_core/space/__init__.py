"""The parameter space: which leaves merge, where they lie in the flat vector, how deep; task vectors over it."""

from merging_core.space.depth import Depth as Depth
from merging_core.space.depth import depths as depths
from merging_core.space.depth import leaf_depth as leaf_depth
from merging_core.space.parameter_space import ParameterSpace as ParameterSpace
from merging_core.space.parameter_space import build_space as build_space
from merging_core.space.task_vector import TaskVector as TaskVector
from merging_core.space.task_vector import task_vector as task_vector

__all__ = [
    "Depth",
    "ParameterSpace",
    "TaskVector",
    "build_space",
    "depths",
    "leaf_depth",
    "task_vector",
]
