"""More processes that accept on the server's port: docs/design.md has what each may do by itself, and why."""
