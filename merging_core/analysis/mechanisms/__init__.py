"""By what models decide: how their answers change when one property of the input does."""
