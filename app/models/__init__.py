"""Models that a visitor picks: what there is, and whether a choice fits together."""
