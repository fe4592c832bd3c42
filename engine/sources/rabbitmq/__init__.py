"""Queues of RabbitMQ brokers, which Amazon MQ has or oneself."""
