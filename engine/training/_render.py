"""Play parts through FluidSynth into arrays, in this process.

One synthesiser lives for one call, and is reset between the parts, so a render depends on its arguments alone. Events
land on FluidSynth's own blocks of 64 frames (1.3 ms). The returned array belongs to the caller.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt

from ._mma import Event, Note

__all__ = ["SAMPLE_RATE", "SOUNDFONTS", "render"]

SAMPLE_RATE = 48000
BLOCK = 64
#: name -> (file, Debian package). The first two are under the MIT licence; the last (GPL-2) is for testing alone.
SOUNDFONTS = {
    "FluidR3_GM": ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "fluid-soundfont-gm"),
    "MuseScore_General": ("/usr/share/sounds/sf3/MuseScore_General.sf3", "musescore-general-soundfont"),
    "TimGM6mb": ("/usr/share/sounds/sf2/TimGM6mb.sf2", "timgm6mb-soundfont"),
}

_CDEF = """
typedef struct _fluid_settings fluid_settings_t;
typedef struct _fluid_synth fluid_synth_t;
fluid_settings_t *new_fluid_settings(void);
void delete_fluid_settings(fluid_settings_t *);
int fluid_settings_setnum(fluid_settings_t *, const char *, double);
int fluid_settings_setint(fluid_settings_t *, const char *, int);
fluid_synth_t *new_fluid_synth(fluid_settings_t *);
void delete_fluid_synth(fluid_synth_t *);
int fluid_synth_sfload(fluid_synth_t *, const char *, int);
int fluid_synth_noteon(fluid_synth_t *, int, int, int);
int fluid_synth_noteoff(fluid_synth_t *, int, int);
int fluid_synth_cc(fluid_synth_t *, int, int, int);
int fluid_synth_program_change(fluid_synth_t *, int, int);
int fluid_synth_pitch_bend(fluid_synth_t *, int, int);
int fluid_synth_system_reset(fluid_synth_t *);
int fluid_synth_write_float(fluid_synth_t *, int, void *, int, int, void *, int, int);
void (*fluid_set_log_function(int, void (*)(int, const char *, void *), void *))(int, const char *, void *);
"""


@functools.cache
def _library() -> tuple[cffi.FFI, Any]:
    ffi = cffi.FFI()
    ffi.cdef(_CDEF)
    try:
        lib = ffi.dlopen("libfluidsynth.so.3")
    except OSError as error:
        raise FileNotFoundError("libfluidsynth.so.3 is not installed: run `apt install fluidsynth`") from error
    for level in (2, 3, 4):  # warnings (instruments that drop to a neighbour), notes, debug: not for the terminal
        lib.fluid_set_log_function(level, ffi.NULL, ffi.NULL)
    return ffi, lib


_Row = tuple[int, int, int, int, int, int]


def _timeline(notes: Sequence[Note], events: Sequence[Event]) -> list[_Row]:
    """What to send as (frame, kind, channel, program, a, b), in order; kinds: 0 off, 1 cc, 2 bend, 3 on.

    The program is a note's own: a note that begins a moment before its channel's change of program has its sound.
    """
    kinds = {0xB0: 1, 0xE0: 2}

    def frame(seconds: float) -> int:
        return max(0, round(seconds * SAMPLE_RATE / BLOCK)) * BLOCK

    rows = [(frame(e.time), kinds[e.kind], e.channel, 0, e.a, e.b) for e in events if e.kind in kinds]
    for note in notes:
        start = frame(note.start)
        rows.append((start, 3, note.channel, note.program, note.pitch, note.velocity))
        rows.append((max(frame(note.end), start + BLOCK), 0, note.channel, 0, note.pitch, 0))
    return sorted(rows)


def render(
    parts: Sequence[Sequence[Note]],
    events: Sequence[Event],
    seconds: float,
    soundfont: str,
    room: float,
    wet: float,
) -> npt.NDArray[np.float32]:
    """Render the parts of a song to stereo sound, each by itself in the same room.

    Parameters
    ----------
    parts
        The notes of each part; times in seconds from the first returned sample. A part without notes stays silent.
    events
        Controllers and bends of all channels; programs are those of the notes.
    seconds : float
        Length of the result, > 0.
    soundfont : str
        Key of :data:`SOUNDFONTS`.
    room : float
        FluidSynth's reverb room size, 0-1.
    wet : float
        FluidSynth's reverb level, 0-1.

    Returns
    -------
    ndarray of float32, shape (parts, frames, 2)
        At 48 kHz; not normalised, peaks may pass 1.

    Raises
    ------
    FileNotFoundError
        If the library or the soundfont is missing; the message names the Debian package.
    """
    ffi, lib = _library()
    path, package = SOUNDFONTS[soundfont]
    if not Path(path).exists():
        raise FileNotFoundError(f"soundfont {path} is missing: run `apt install {package}`")
    settings = lib.new_fluid_settings()
    numbers = {"synth.sample-rate": SAMPLE_RATE, "synth.gain": 0.3, "synth.reverb.room-size": room,
               "synth.reverb.level": wet, "synth.reverb.width": 0.8, "synth.reverb.damp": 0.3}  # fmt: skip
    switches = {"synth.reverb.active": 1, "synth.chorus.active": 0, "synth.dynamic-sample-loading": 1,
                "synth.polyphony": 256}  # fmt: skip
    for name, value in numbers.items():
        lib.fluid_settings_setnum(settings, name.encode(), value)
    for name, switch in switches.items():
        lib.fluid_settings_setint(settings, name.encode(), switch)
    synth = lib.new_fluid_synth(settings)
    total = -(-round(seconds * SAMPLE_RATE) // BLOCK) * BLOCK
    sound = np.zeros((len(parts), total, 2), np.float32)
    try:
        if lib.fluid_synth_sfload(synth, path.encode(), 1) < 0:
            raise OSError(f"FluidSynth cannot read the soundfont {path}: reinstall {package}")
        for notes, stem in zip(parts, sound, strict=True):
            if notes:
                channels = {note.channel for note in notes}
                _play(ffi, lib, synth, _timeline(notes, [e for e in events if e.channel in channels]), stem)
                lib.fluid_synth_system_reset(synth)
    finally:
        lib.delete_fluid_synth(synth)
        lib.delete_fluid_settings(settings)
    return sound


def _play(ffi: cffi.FFI, lib: Any, synth: Any, timeline: list[_Row], sound: npt.NDArray[np.float32]) -> None:
    """Play a timeline into (frames, 2)."""
    out = ffi.cast("float *", sound.ctypes.data)
    programs: dict[int, int] = {}
    total, at = len(sound), 0
    for frame, kind, channel, program, a, b in timeline:
        if frame >= total:
            break
        if frame > at:
            lib.fluid_synth_write_float(synth, frame - at, out + 2 * at, 0, 2, out + 2 * at, 1, 2)
            at = frame
        if kind == 0:
            lib.fluid_synth_noteoff(synth, channel, a)
        elif kind == 1:
            lib.fluid_synth_cc(synth, channel, a, b)
        elif kind == 2:
            lib.fluid_synth_pitch_bend(synth, channel, a)
        else:
            if programs.get(channel) != program:
                lib.fluid_synth_program_change(synth, channel, program)
                programs[channel] = program
            lib.fluid_synth_noteon(synth, channel, a, b)
    if at < total:
        lib.fluid_synth_write_float(synth, total - at, out + 2 * at, 0, 2, out + 2 * at, 1, 2)
