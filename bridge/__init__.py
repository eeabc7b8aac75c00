"""The JACK side of a session: server, client, connections, latency, recording; shared memory joins it to the engine."""
