"""The device and its site: what is installed, its slides over time, and a bundle fitted to its microscope."""
