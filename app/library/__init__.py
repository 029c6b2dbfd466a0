"""The library of results: kept, found again, compared, sent as a file and opened by a link."""
