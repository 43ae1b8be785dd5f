"""Labelled cells: where they come from, the cache they are kept in, and how they are split."""
