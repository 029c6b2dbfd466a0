"""Curves between models: their coefficients, their training, what is measured along them, and what predicts it."""
