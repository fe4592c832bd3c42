"""The invoke path: what runs in a worker, and what feeds it."""
