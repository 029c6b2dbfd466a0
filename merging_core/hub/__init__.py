"""The Hub: what Basin reads from it, and what it publishes there."""
