"""Questions asked of models: where they lie, what is between them, how they respond."""
