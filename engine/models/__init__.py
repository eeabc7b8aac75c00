"""Model architectures: pure functions of (params, state, input); no I/O."""
