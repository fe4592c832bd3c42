"""Amazon EventBridge: buses, rules and their targets, schedules, archives, connections and API destinations."""
