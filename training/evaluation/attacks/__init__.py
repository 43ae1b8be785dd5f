"""Adversarial attacks over a free objective: one code for the classifier, the detector and both at once."""
