"""Counts of cells in numbers that a reading may state: shares, intervals, limits of detection, when to stop.

There are no images and no files here, only counts.
"""
