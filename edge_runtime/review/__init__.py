"""A person looks at cells of a slide: which ones, in which order, and what they say."""
