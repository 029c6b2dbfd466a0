"""What leaves the studio as a link."""
