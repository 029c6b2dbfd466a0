"""Paths through weight space: what is measured along them, and how high they rise above their chord."""
