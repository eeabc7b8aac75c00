"""The native core and its Python face: shared segment, rings, renderer, phase, resampling."""
