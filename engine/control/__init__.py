"""The control loop: it starts, watches, scales and ends the processes that functions run in."""
