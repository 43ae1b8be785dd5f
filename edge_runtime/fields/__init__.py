"""Fields of a slide: whether a place was counted before, and what stays while the slide moves."""
