"""Which models there are, and where their weights lie."""
