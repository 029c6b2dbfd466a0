"""Presets: models and tasks of a published benchmark, loaded by one click."""
