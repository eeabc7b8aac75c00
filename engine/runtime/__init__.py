"""How a model step is executed: JAX today."""
