"""Amazon CloudWatch's metrics and alarms."""
