"""Models of different origin brought into one basin by symmetries of their architecture, with a certificate."""
