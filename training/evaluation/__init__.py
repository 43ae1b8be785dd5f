"""The paper's evaluation measured honestly, and the rows that a clinic needs besides."""
