"""CloudWatch Logs: groups, streams and events, kept and read in a process of its own."""
