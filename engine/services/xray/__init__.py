"""AWS X-Ray: segments of traces, kept on the disk, and what is asked of them."""
