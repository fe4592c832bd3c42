"""What a function is: its reference, its configuration, and the checks on both."""
