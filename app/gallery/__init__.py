"""The examples: recipes of the repository with a title and a sentence, opened in the studio with one click."""
