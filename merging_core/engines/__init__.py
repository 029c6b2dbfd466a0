"""Two engines, one truth: a plan from headers, the live engine for sliders, the streaming engine for export."""

from merging_core.engines.layer_stats import LayerStats as LayerStats
from merging_core.engines.live import LiveEngine as LiveEngine
from merging_core.engines.live import Merged as Merged
from merging_core.engines.plan import Plan as Plan
from merging_core.engines.plan import make_plan as make_plan
from merging_core.engines.streaming import stream_merge as stream_merge

__all__ = ["LayerStats", "LiveEngine", "Merged", "Plan", "make_plan", "stream_merge"]
