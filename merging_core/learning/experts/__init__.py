"""Experts: checkpoints that are trained from a base, on one task or several, so that the studio can merge them."""
