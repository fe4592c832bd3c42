"""Programs that are started, print one result, and end."""
