"""Subspaces that models span: how low the loss is in them, and where."""
