"""How a result is shown: a table, a live view, a page with pictures."""
