"""cellgate's field runtime: finds, classifies and, where it does not know, rejects blood cells."""

__version__ = "0.1.0"
