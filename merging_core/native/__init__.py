"""Loops in C for a CPU, compiled on the machine at first use; without a compiler, everything is computed plainly.

Each gives the bits of its plain counterpart, which stands where it is used.
"""
