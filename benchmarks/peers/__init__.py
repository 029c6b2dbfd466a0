"""The sides of other packages: scripts that run in an environment of their own, never imported by the project."""
