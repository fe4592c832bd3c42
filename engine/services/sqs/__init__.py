"""Amazon SQS: standard and FIFO queues on the engine's own durable queue."""
