"""Requests to APIs of API Gateway: routes, authorizers, events for functions, and responses."""
