"""What is measured of experts on examples of their tasks, for merge methods that read it."""
