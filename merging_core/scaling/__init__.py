"""Layer scaling: one factor per depth.

Kinds: `constant` (1 everywhere), `lines` (α + β·depth), `lines_gamma` (the same with one number, for one expert) and
`curve` (drawn by hand). `registry.factors(spec, depths)` returns one float64 factor per leaf.
"""
