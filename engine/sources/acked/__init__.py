"""Streams of brokers that keep themselves what is done of them: Redis Streams, NATS JetStream."""
