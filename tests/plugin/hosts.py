"""What plugin hosts are made to do, each call in a process of its own: ``hosts.py FUNCTION ARGUMENTS FOLDER``.

A function takes JSON arguments and returns what JSON can hold; arrays go into files in FOLDER. A crash of the host is
that process's exit code.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.protocol.client import ControlClient

Audio = NDArray[np.float32]
VST3 = Path(__file__).resolve().parents[2] / (
    "build/plugin/plugin_stub/jackdaw_plugin_artefacts/Release/VST3/Jackdaw.vst3"
)
_STATE = re.compile(rb"<IComponent>(.*?)</IComponent>", re.DOTALL)
_DIGITS = ".ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+"
_MAGIC = 0x21324356  # of JUCE's XML in binary


def _pedalboard() -> Any:
    from pedalboard import load_plugin

    return load_plugin(str(VST3))


def _save(folder: Path, name: str, audio: Audio) -> None:
    np.save(folder / f"{name}.npy", audio)


def _impulses(frames: int, at: list[int], channels: int = 2) -> Audio:
    audio = np.zeros((channels, frames), np.float32)
    audio[:, at] = 0.5
    return audio


def state_blob(xml: str) -> bytes:
    """Return the state as the plugin gets it."""
    text = xml.encode()
    return _MAGIC.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text + b"\0"


def juce_text(blob: bytes) -> str:
    """Write bytes as JUCE's MemoryBlock does: its base64 has an alphabet and an order of its own."""
    bits = int.from_bytes(blob, "little")
    digits = "".join(_DIGITS[(bits >> (6 * place)) & 63] for place in range(-(-len(blob) * 8 // 6)))
    return f"{len(blob)}.{digits}"


def _juce_bytes(text: str) -> bytes:
    size, _, digits = text.partition(".")
    bits = sum(_DIGITS.index(digit) << (6 * place) for place, digit in enumerate(digits))
    return bits.to_bytes(len(digits) * 6 // 8 + 1, "little")[: int(size)]


def _component(plugin: Any) -> bytes:
    """Return the part of a pedalboard state that is the plugin's own."""
    found = _STATE.search(plugin.raw_state)
    assert found is not None
    return _juce_bytes(found[1].decode())


def _with_component(plugin: Any, blob: bytes) -> bytes:
    """Return a pedalboard state with another plugin state in it."""
    new = _STATE.sub(b"<IComponent>" + juce_text(blob).encode() + b"</IComponent>", plugin.raw_state)
    # the header tells the length of the text that follows
    text = new[8:].rstrip(b"\0")
    return new[:4] + len(text).to_bytes(4, "little") + text + b"\0"


def _xml(plugin: Any) -> str:
    state = _component(plugin)
    length = int.from_bytes(state[4:8], "little")
    return state[8 : 8 + length].decode()


def _restore(plugin: Any, xml: str) -> None:
    plugin.raw_state = _with_component(plugin, state_blob(xml))


def _steps(audio: Audio, block: int) -> Iterator[Audio]:
    for at in range(0, audio.shape[1], block):
        yield audio[:, at : at + block]


# ---- pedalboard ----------------------------------------------------------------------------------------------------


def render(
    folder: Path,
    *,
    rate: int,
    block: int,
    frames: int,
    times: int = 1,
    channels: int = 2,
    impulses: list[int] | None = None,
    parameters: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Render so many times over in one instance; files ``0.npy``, ``1.npy`` ..."""
    plugin = _pedalboard()
    for name, value in (parameters or {}).items():
        setattr(plugin, name, value)
    for number in range(times):
        _save(folder, str(number), plugin.process(_impulses(frames, impulses or [], channels), rate, block))
    return {"latency": plugin.reported_latency_samples}


def runs(folder: Path, *, cases: list[dict[str, int]]) -> list[dict[str, int]]:
    """Of each case, play one impulse through an echo and say how late it comes and what pedalboard was told."""
    plugin = _pedalboard()
    seen = []
    for case in cases:
        rate, block, channels, at = case["rate"], case["block"], case["channels"], case["at"]
        audio = _impulses(case["frames"], [at], channels)
        plugin.process(audio, rate, block)  # pedalboard trims by the latency told before a change of rate
        heard = np.abs(plugin.process(audio, rate, block))
        peak = int(np.argmax(heard[0]))
        apart = np.ones(heard.shape[1], bool)
        apart[max(0, peak - rate // 500) : peak + rate // 500] = False
        seen.append(
            {
                **case,
                "late": peak - at,
                "peak": float(heard[0, peak]),
                "latency": plugin.reported_latency_samples,
                "rest": float(np.abs(heard[:, apart]).max()),
                "length": heard.shape[1],
            }
        )
    return seen


def many(folder: Path, *, count: int, at_once: bool) -> dict[str, Any]:
    """Make instances, one after another or all at once, and render a little with each."""
    kept = []
    for _ in range(count):
        plugin = _pedalboard()
        plugin.process(np.zeros((2, 4800), np.float32), 48000, 480)
        if at_once:
            kept.append(plugin)
    return {"made": count}


def state(folder: Path, *, xml: str | None = None, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give a state, or parameters, and say what the plugin makes of it: once, and once more in another instance."""
    plugin = _pedalboard()
    if xml is not None:
        _restore(plugin, xml)
    for name, value in (parameters or {}).items():
        setattr(plugin, name, value)
    time.sleep(0.5)
    first = plugin.raw_state
    other = _pedalboard()
    other.raw_state = first
    return {
        "xml": _xml(plugin),
        "again": _xml(other),
        "equal": other.raw_state == first,
        "values": {name: plugin.parameters[name].string_value for name in plugin.parameters},
    }


def stay(
    folder: Path,
    *,
    seconds: float = 3600.0,
    until: str | None = None,
    rate: int = 48000,
    block: int = 512,
    level: float = 0.0,
    xml: str | None = None,
    pace: float = 1.0,
) -> dict[str, Any]:
    """Play in real time for so long, or until a file is there; say ``playing`` once music comes.

    Files ``played.npy`` and ``times.npy``: of each block, when it was done (monotonic ns) and whether it had sound.
    """
    plugin = _pedalboard()
    if xml is not None:
        _restore(plugin, xml)
    plugin.process(np.zeros((2, block), np.float32), rate, block)
    generator = np.random.default_rng(0)
    blocks, times, said = [], [], False
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds and not (until and Path(until).exists()):
        audio = (level * generator.standard_normal((2, block))).astype(np.float32)
        played = plugin.process(audio, rate, block, reset=False)
        sounds = played.size > 0 and bool(np.abs(played).max() > 0)
        blocks.append(played)
        times.append((time.monotonic_ns(), sounds))
        if sounds and not said:
            said = True
            sys.stderr.write("playing\n")
            sys.stderr.flush()
        time.sleep(max(0.0, len(blocks) * block / rate / pace - now))
    _save(folder, "played", np.concatenate([b for b in blocks if b.size], axis=1))
    np.save(folder / "times.npy", np.array(times, np.int64))
    return {"blocks": len(blocks)}


def together(folder: Path, *, states: list[str], seconds: float, until: str, rate: int, block: int) -> dict[str, Any]:
    """Play several instances side by side, block by block, until a file is there; the last `seconds` are kept."""
    plugins = [_pedalboard() for _ in states]
    for plugin, xml in zip(plugins, states, strict=True):
        _restore(plugin, xml)
    kept: list[list[Audio]] = [[] for _ in states]
    most = round(seconds * rate / block)
    while not Path(until).exists() or len(kept[0]) < most:
        for plugin, blocks in zip(plugins, kept, strict=True):
            blocks.append(plugin.process(np.zeros((2, block), np.float32), rate, block, reset=False))
            del blocks[:-most]
    for number, blocks in enumerate(kept):
        _save(folder, str(number), np.concatenate(blocks, axis=1))
    return {"instances": len(plugins)}


# ---- DawDreamer ----------------------------------------------------------------------------------------------------


def dream(
    folder: Path,
    *,
    rate: int,
    block: int,
    seconds: float,
    times: int = 1,
    impulses: list[int] | None = None,
    side: list[int] | None = None,
    bpm: float | None = None,
) -> dict[str, Any]:
    """Render with DawDreamer; `side` feeds the sidechain. Return the session's latency in frames.

    DawDreamer neither makes up for latency nor hears of a change: it reads it before its first offline block, when the
    engine may still be starting. So the engine is asked.
    """
    import dawdreamer

    engine = dawdreamer.RenderEngine(rate, block)
    plugin = engine.make_plugin_processor("jackdaw", str(VST3))
    source = engine.make_playback_processor("main", _impulses(round(seconds * rate), impulses or []))
    if bpm is not None:
        engine.set_bpm(bpm)
    engine.load_graph([(source, []), (plugin, ["main"])])
    for number in range(times):
        engine.render(seconds)
        _save(folder, str(number), engine.get_audio())
    with ControlClient(timeout=5.0) as client:
        session = client.ask("list")["sessions"][0]["session"]
        status = client.ask("status", session=session)["status"]
    return {"latency": status["loop_latency"]}


def dream_state(folder: Path, *, values: dict[str, float]) -> dict[str, Any]:
    """Turn knobs (0..1), save, load into another instance, save again; say whether the files are equal."""
    import dawdreamer

    engine = dawdreamer.RenderEngine(48000, 512)
    one, other = (engine.make_plugin_processor(name, str(VST3)) for name in ("one", "other"))
    index = {entry["name"]: entry["index"] for entry in one.get_parameters_description()}
    for name, value in values.items():
        one.set_parameter(index[name], value)
    files = [folder / "one.state", folder / "other.state"]
    one.save_state(str(files[0]))
    other.load_state(str(files[0]))
    other.save_state(str(files[1]))
    return {
        "equal": files[0].read_bytes() == files[1].read_bytes(),
        "bytes": files[0].stat().st_size,
        "values": {name: other.get_parameter(index[name]) for name in values},
        "names": sorted(index),
    }


if __name__ == "__main__":
    function, arguments, where = sys.argv[1:]
    answer = globals()[function](Path(where), **json.loads(arguments))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
