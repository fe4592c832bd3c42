"""Where what a deployment brings along is on the server: one bucket that is none of S3's."""

from __future__ import annotations

BUCKET = "stoker-artifacts"
PATH = "/_stoker/artifacts/"
SWAPS = "/_stoker/swaps"
