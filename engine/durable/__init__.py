"""Records on the disk before they are seen. Knows no service's name."""
