"""A slide as it was read: one SQLite file, durable, and what stands in it."""
