"""Event source mappings at work: what polls queues and streams and invokes functions with batches of their records."""
