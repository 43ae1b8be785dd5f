"""Frames and images in: from files, folders, zips, videos, cameras, streams and the simulator."""
