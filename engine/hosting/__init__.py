"""The catalog's functions as running functions: who serves an invocation, and under which limits."""
