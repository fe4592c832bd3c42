"""Function URLs: HTTP requests as events, and replies as HTTP responses."""
