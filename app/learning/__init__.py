"""Learning as a job of the server: runs that are started, watched, paused, gone on with, and opened in the studio."""
