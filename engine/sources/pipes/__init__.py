"""Pipes at work: a source, read as mappings read theirs, filtered, enriched, and sent to a target."""
