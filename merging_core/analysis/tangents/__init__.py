"""The tangent space at the base: how task vectors act apart and together, and what one derivative foretells of them."""
