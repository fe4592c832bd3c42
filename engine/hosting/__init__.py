"""The catalog's functions as running functions: which deployment serves an invocation, and under which limits."""
