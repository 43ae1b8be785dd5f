"""Every score that the evaluation compares, as plain functions of what a network puts out.

One convention for all: float64, HIGH = in-distribution. Scores of the logits or the pixels are [N]; scores
of the features are [N, L], a column per layer, and `fusion` makes one number of them.
"""
