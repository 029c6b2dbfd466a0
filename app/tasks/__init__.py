"""Tasks that visitors make of data sets: what one is made of, preparing it, and measuring on it."""
