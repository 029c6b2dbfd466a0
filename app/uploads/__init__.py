"""Uploads: checkpoints and data that visitors give to this server."""
