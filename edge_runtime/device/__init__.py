"""The device and its site: what is installed, how large it is, and a bundle fitted to its microscope."""
