"""Records that are on the disk before they are seen, of kinds that others bring."""
