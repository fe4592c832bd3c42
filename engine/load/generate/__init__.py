"""What makes load: schedules, payloads, the loops that send them, targets, and what is recorded."""
