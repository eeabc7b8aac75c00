"""The parts of the evaluation: each measures one promise and returns a finding."""

from . import accompaniment, chords, codec, liveness, notes, speed, style, tempo

__all__ = ["PARTS"]

PARTS = {
    "tempo": tempo.measure,
    "chords": chords.measure,
    "style": style.measure,
    "notes": notes.measure,
    "codec": codec.measure,
    "accompaniment": accompaniment.measure,
    "liveness": liveness.measure,
    "speed": speed.measure,
}
"""In the order in which they run."""
