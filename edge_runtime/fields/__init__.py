"""A frame as a field of view: whether its cells may count, and whether they were counted before."""
