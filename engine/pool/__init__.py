"""Executor: the standard library's process pool over the engine's workers."""
