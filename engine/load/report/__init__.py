"""Results for readers: a table, a live view, a page with pictures."""
