"""Planes through weight space: where models lie in them, and how good the weights between and around them are."""
