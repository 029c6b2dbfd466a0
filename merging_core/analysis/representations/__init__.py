"""What models make of the same inputs, layer by layer: how alike, and how far from the base."""
