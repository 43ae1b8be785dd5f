"""Fields of a slide: whether a place was counted before, and what stays in the frame while the slide moves."""
