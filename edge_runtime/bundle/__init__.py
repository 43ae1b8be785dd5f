"""The bundle: manifest, files, the classifier that runs it, and the proof that it decides as PyTorch did."""
