"""The caller's side: an event submitted, awaited, mapped, and what comes back decoded."""
