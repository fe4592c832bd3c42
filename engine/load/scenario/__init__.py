"""What is to be done: scenarios from files, options and calls, read and checked."""
