"""The workstation's part: from cells to a run folder with network, Gaussians and calibration."""
