"""Cold storage: files that old days of the timeline and old messages leave into (docs/retention.md)."""
