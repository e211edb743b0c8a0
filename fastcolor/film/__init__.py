"""A film in, a film out: decoding, scenes, motion, smoothing, encoding."""
