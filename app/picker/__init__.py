"""The method picker: which methods fit, and what each does to the visitor's own numbers."""
