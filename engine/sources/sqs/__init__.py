"""Mappings of Amazon SQS queues: this server's own, and those of other endpoints."""
