"""Mappings of streams: shards that are read in order, each from where it was left. Kinesis's, and DynamoDB's."""
