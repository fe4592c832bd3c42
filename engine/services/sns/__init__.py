"""Amazon SNS: topics, subscriptions with filter policies, and deliveries to them."""
