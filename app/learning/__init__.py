"""The Learn tab's rooms."""
