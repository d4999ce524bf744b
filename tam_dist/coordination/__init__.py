"""Scheduling as plain code: what runs next, what is replayed after a death. Knows executors only as Protocols."""
