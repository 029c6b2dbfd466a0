"""All methods on the same experts: a job of the server, whose rows the page shows as they come."""
