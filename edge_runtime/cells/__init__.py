"""From a frame to its cells: found, cut out, and resized as the network sees them."""
