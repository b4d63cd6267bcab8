"""One leg at a time: a query to what the leg finds."""
