"""Elastic Load Balancing's application load balancers in front of functions: their operations, and requests to them."""
