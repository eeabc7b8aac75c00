"""The JACK client, MIDI and transport: what touches the studio."""
