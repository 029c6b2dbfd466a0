"""The Geometry lab on the server: studies that are looked at piece by piece, as jobs, and sent as links."""
