"""The control protocol (docs/protocol.md): what steers an engine, from ``jackdaw ctl`` to the plugin."""
