"""The commands of `cellgate`, thin over the functions that do the same from Python.

A command imports what only it needs in its own body: a single crop is decided on without loading what reads
slides.
"""
