"""The load-test harness: arrivals on a schedule of their own, whatever the target does; what came of them; reports."""
