"""Whole-program measurements, one command each; they print figures and judge nothing."""
