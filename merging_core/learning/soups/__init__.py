"""Soups: averages of models whose weights are chosen, greedily, by gradients, or on a few examples under attack."""
