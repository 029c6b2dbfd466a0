"""Publishing: an export becomes a repository on the Hub, with the visitor's own token."""
