"""Judge the codec of `tiny` on held-out songs: ``python bench/codec.py --corpus DIR --songs N``.

``--recordings DIR`` takes any music files instead: what the codec makes of music that it was not made for.

For every song: the original, Opus at 6, 12 and 24 kbit/s, the ceiling (true band magnitudes and low phases, the other
phases made), and the codec. Mel and side errors are computed here; ViSQOL and chords come from
``bench/judge_music.py`` in the judges' environment, made by ``scripts/setup-judges``. No single figure is to be
trusted: smears without harmonics get fair ViSQOL scores and no chords, so look at the spectrograms too. For evaluation
only: madmom's models (CC BY-NC-SA 4.0) are never shipped.

Prints a table, and as its last line JSON. Writes the audio and a spectrogram per song to ``--out``.

    mel     mean |dB| error over 128 mel bands of left and right, floor -80 dB of a full-scale sine
    side    the same of (left - right) / 2
    chord   part of the time in which the chord heard is the one heard in the original
    truth   part of the time in which it is the one that was played (major, minor, none); of songs with labels
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import matplotlib as mpl
import numpy as np
import soundfile
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from jackdaw.audio import Waveform
from jackdaw.engine.models import tiny_codec
from jackdaw.engine.models import tiny_spectrum as spectrum
from jackdaw.engine.weights.tensors import read_tree

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent / "engine" / "models" / "weights" / "tiny_codec.safetensors"
JUDGES = HERE.parent / ".venv-judges" / "bin" / "python"
MELS = 128
FLOOR = 1e-4
OPUS = (6, 12, 24)
COLUMNS = ("kbit/s", "mel", "side", "visqol", "chord", "truth")

Floats = NDArray[np.float32]


def mel_bank() -> NDArray[np.float64]:
    """Triangles of equal weight, evenly spaced on the mel scale (O'Shaughnessy 1987) from 0 to 24 kHz."""
    top = 2595 * np.log10(1 + spectrum.RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1) / (spectrum.RATE / spectrum.WINDOW)
    bins = np.arange(spectrum.BINS)[:, None]
    # low triangles are narrower than a bin: at least one bin each side
    low, mid, high = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins - np.minimum(low, mid - 1)) / np.maximum(mid - low, 1)
    fall = (np.maximum(high, mid + 1) - bins) / np.maximum(high - mid, 1)
    bank = np.clip(np.minimum(rise, fall), 0, None)
    return bank / bank.sum(axis=0)


def mel_db(audio: Floats) -> NDArray[np.float64]:
    """Level of left, right and side in mel bands, dB of a full-scale sine: (frames, 3, MELS)."""
    _, _, spectra = spectrum.analyse_step(spectrum.analyse_init(), audio)
    left, right = spectra[:, 0], spectra[:, 1]
    power = np.abs(np.stack([left, right, (left - right) / 2], axis=1)).astype(np.float64) ** 2
    return 20 * np.log10(np.sqrt(power @ mel_bank()) + FLOOR)


def bands_of(audio: Floats) -> tuple[Floats, Floats]:
    """Band magnitudes and low phases of audio and of the silence after it that empties the synthesis."""
    rest = spectrum.LOOKAHEAD + (-len(audio) - spectrum.LOOKAHEAD) % spectrum.TOKEN_SAMPLES
    padded = np.concatenate([audio, np.zeros((rest, 2), np.float32)])
    _, bands, spectra = spectrum.analyse_step(spectrum.analyse_init(), padded)
    return bands, spectrum.phases_of_spectra(spectra)


def sound_of(bands: Floats, phases: Floats, samples: int) -> Floats:
    """Audio of band magnitudes and low phases, in time with what they were taken from."""
    _, audio = spectrum.synthesise_step(spectrum.synthesise_init(), bands, None, phases)
    return audio[spectrum.LOOKAHEAD :][:samples]


def read_codec(path: Path) -> tiny_codec.Params:
    """Read exported weights, or the checkpoint of a training under way."""
    tree, _ = read_tree(path)
    return tree.get("params", tree)


def through_codec(params: tiny_codec.Params, bands: Floats, phases: Floats) -> tuple[Floats, Floats]:
    """Encode and decode band magnitudes and low phases."""
    _, codes = jax.jit(tiny_codec.encode_step)(params, tiny_codec.encode_init(), bands, phases)
    _, made, _, told = jax.jit(tiny_codec.decode_step)(params, tiny_codec.decode_init(), codes)
    return np.asarray(made), np.asarray(told)


def through_opus(source: Path, kilobits: int, samples: int) -> tuple[Floats, float]:
    """Encode and decode a file with Opus; returns audio and the bit rate it took, in kbit/s."""
    with tempfile.TemporaryDirectory() as folder:
        coded, wave = Path(folder) / "x.opus", Path(folder) / "x.wav"
        subprocess.run(["opusenc", "--quiet", "--bitrate", str(kilobits), source, coded], check=True)
        subprocess.run(["opusdec", "--quiet", "--float", "--rate", "48000", coded, wave], check=True)
        audio, _ = soundfile.read(wave, dtype="float32", always_2d=True)
        rate = coded.stat().st_size * 8 / (samples / spectrum.RATE) / 1000
    stereo = np.repeat(audio, 2, axis=1) if audio.shape[1] == 1 else audio
    return stereo[:samples], rate


def draw(path: Path, title: str, sounds: dict[str, Floats]) -> None:
    """Write spectrograms of the left channel side by side, to 12 kHz."""
    figure, axes = plt.subplots(1, len(sounds), figsize=(6 * len(sounds), 7), sharey=True, layout="constrained")
    for axis, (name, audio) in zip(axes, sounds.items(), strict=True):
        piece = audio[: 6 * spectrum.RATE]
        _, _, spectra = spectrum.analyse_step(
            spectrum.analyse_init(), piece[: len(piece) // spectrum.HOP * spectrum.HOP]
        )
        level = 20 * np.log10(np.abs(spectra[:, 0, :481]) + FLOOR)
        axis.imshow(level.T, origin="lower", aspect="auto", vmin=-80, vmax=-15, cmap="magma", extent=(0, 6, 0, 12))
        axis.set(title=f"{title}: {name}", xlabel="s")
    axes[0].set_ylabel("kHz")
    figure.savefig(path, dpi=70)
    plt.close(figure)


def judge_song(song: Path, start: float, seconds: float, codec: tiny_codec.Params | None, out: Path) -> dict[str, Any]:
    """Figures of every way of coding one song: name -> column -> value."""
    samples = int(seconds * spectrum.RATE) // spectrum.HOP * spectrum.HOP
    heard = Waveform.from_file(song, longest=start + seconds + 0.1).with_channels(2).resample(spectrum.RATE)
    original, rate = heard.samples[int(start * spectrum.RATE) :][:samples], spectrum.RATE
    if len(original) < samples:
        raise ValueError(f"{song} is not {start + seconds:g} s long: choose another stretch")
    folder = out / song.stem
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "original.wav", original, rate, subtype="PCM_16")
    bands, phases = bands_of(original)
    sounds, rates = {"original": original, "ceiling": sound_of(bands, phases, samples)}, {"original": 1536.0}
    if codec is not None:
        levels = sum(map(len, (codec["codebooks"], codec["detail"]["tones"], codec["detail"]["envelope"])))
        codebook = codec["codebooks"].shape[1]
        sounds["codec"] = sound_of(*through_codec(codec, bands, phases), samples)
        rates["codec"] = spectrum.RATE / spectrum.TOKEN_SAMPLES * levels * float(np.log2(codebook)) / 1000
    draw(out / f"{song.stem}.png", song.stem, sounds)
    for kilobits in OPUS:
        name = f"opus {kilobits}"
        sounds[name], rates[name] = through_opus(folder / "original.wav", kilobits, samples)
    truth = mel_db(original)
    rows: dict[str, Any] = {}
    for name, audio in sounds.items():
        soundfile.write(folder / f"{name.replace(' ', '_')}.wav", audio, spectrum.RATE, subtype="PCM_16")
        error = np.abs(mel_db(audio) - truth)
        rows[name] = {"kbit/s": rates.get(name), "mel": error[:, :2].mean(), "side": error[:, 2].mean()}
    files = [folder / f"{name.replace(' ', '_')}.wav" for name in sounds]
    command = [JUDGES, HERE / "judge_music.py", *files, "--reference", folder / "original.wav", "--no-beats"]
    labels = song.with_suffix(".json")
    command += ["--labels", labels, "--start", str(start)] if labels.exists() else []
    judged = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    for name, line in zip(sounds, judged, strict=True):
        said = json.loads(line)
        right = said["labels"]["chords"] if "labels" in said else None
        rows[name] |= {"visqol": said["visqol"], "chord": said["chord_agreement"], "truth": right}
    return rows


def held_out(corpus: Path) -> list[Path]:
    """Songs of the test and validation splits."""
    return [
        labels.with_suffix(".flac")
        for labels in sorted((corpus / "songs").glob("*.json"))
        if json.loads(labels.read_text(encoding="utf-8"))["split"] in ("valid", "test")
    ]


def recordings(folder: Path, seconds: float) -> list[Path]:
    """Music files in a folder and those below it that are so long."""
    songs = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".flac", ".wav", ".ogg", ".mp3")]
    return [path for path in songs if soundfile.info(path).duration > seconds + 0.1]


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Judge the codec on held-out songs.")
    music = parser.add_mutually_exclusive_group(required=True)
    music.add_argument("--corpus", type=Path, help="folder with songs/NNNNN.flac and NNNNN.json")
    music.add_argument("--recordings", type=Path, help="folder with any music, as FLAC, WAV, OGG or MP3")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--start", type=float, default=10.0, help="where in the songs to begin, seconds")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="codec weights, or a training checkpoint")
    parser.add_argument("--no-codec", action="store_true", help="only the original, Opus and the ceiling")
    parser.add_argument("--out", type=Path, default=Path("build/bench-codec"), help="folder for audio and pictures")
    args = parser.parse_args()
    if not JUDGES.exists():
        print(f"the judges are not installed ({JUDGES}): run scripts/setup-judges", file=sys.stderr)
        return 2
    try:
        codec = None if args.no_codec else read_codec(args.weights)
        songs = held_out(args.corpus) if args.corpus else recordings(args.recordings, args.start + args.seconds)
        if len(songs) < args.songs:
            where = args.corpus or args.recordings
            raise ValueError(f"{where} has {len(songs)} songs for this, and {args.songs} are asked for")
        songs = [songs[i] for i in np.linspace(0, len(songs) - 1, args.songs).round().astype(int)]
        found = {
            song.stem: judge_song(song, args.start, args.seconds, codec, args.out)
            for song in track(songs, "judging", console=Console(stderr=True))
        }
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    means: dict[str, dict[str, float | None]] = {}
    kind = "held-out songs" if args.corpus else "recordings"
    table = Table(title=f"{len(songs)} {kind}, {args.seconds:g} s each")
    for heading in ("", *COLUMNS):
        table.add_column(heading, justify="right" if heading else "left")
    for name in next(iter(found.values())):
        values = {key: [rows[name][key] for rows in found.values()] for key in COLUMNS}
        means[name] = {k: None if None in v else round(float(np.mean(v)), 3) for k, v in values.items()}
        table.add_row(name, *("-" if (v := means[name][k]) is None else f"{v:.2f}" for k in COLUMNS))
    Console(width=100).print(table)
    about = {"bench": "codec", "machine": platform.processor() or platform.machine(), "seconds": args.seconds}
    print(json.dumps({**about, "weights": None if codec is None else args.weights.name, "mean": means, "songs": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
