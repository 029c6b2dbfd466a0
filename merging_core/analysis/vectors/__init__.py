"""Task vectors: how alike they are, where they clash, and what merge methods make of that."""
