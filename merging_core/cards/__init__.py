"""What the cards of checkpoints are made of: Markdown that says what it was given, and licences."""
