"""What happened: logs, counters, reports."""
