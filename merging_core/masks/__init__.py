"""Masks: which scalars of a task vector survive.

Four kinds: `none`, `magnitude` (the largest stay), `random` (a seeded coin decides) and `dare` (a seeded coin decides,
survivors are scaled up).
`registry.mask("magnitude")` returns the record, whose `apply` works on any piece of a leaf.
"""
