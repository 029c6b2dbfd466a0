"""Masks: which scalars of a task vector survive.

Three kinds: `none`, `magnitude` (the largest stay) and `dare` (a seeded coin decides, survivors are scaled up).
`registry.mask("magnitude")` returns the record, whose `apply` works on any piece of a leaf.
"""
