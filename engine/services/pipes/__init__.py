"""Amazon EventBridge Pipes: its operations and records; what runs pipes is engine/sources/pipes."""
