"""Open-loop measurements: scenarios by themselves, and against what the same requests can go to instead."""
