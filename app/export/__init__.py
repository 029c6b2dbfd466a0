"""Exports: a merge as a complete checkpoint folder, made by a job and downloaded as files or as one archive."""
