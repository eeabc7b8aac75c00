"""Models, runtimes, sessions and training: everything that makes music."""
