"""The child's side: zygote, template, worker, and what a handler sees. Never asyncio, uvloop or threading."""
