"""Alignment as a study: two models before and after one is brought to the other, with the certificate for it."""
