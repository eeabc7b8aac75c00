"""Train the codec of `tiny` on a corpus, while the corpus may still grow.

``jackdaw train codec`` runs it; settings stand in ``tiny.toml``, table ``[codec]``. First the encoder is made by
principal component analysis, the decoder as its inverse; the reader of the score learns from the labels, and stays as
it is; codebooks are made by k-means. Then encoder, codebooks and decoder learn together to reproduce log band
magnitudes and turns, the encoder through the quantiser as if it were not there. (From random weights they learned
loudness envelopes only, in 600 steps.) For the last part of the time encoder and codebooks stand still, and the decoder
alone goes on. The learning rate falls to zero along a cosine over the minutes given. At the end the detail is made, by
statistics.

``DIR/checkpoint.safetensors`` holds everything (params, optimiser, step, time spent), written every few minutes and at
Ctrl-C; with ``--resume`` the run goes on from it. ``--export FILE`` writes the params alone, in bfloat16.
"""

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models import tiny_codec
from jackdaw.engine.models.tiny_codec import CodecConfig, log_bands
from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, HEARING, HOP, RATE, TURNS
from jackdaw.engine.training._checkpoint import load_checkpoint, save_checkpoint
from jackdaw.engine.training._codec_detail import make_detail
from jackdaw.engine.training._codec_likeness import likeness
from jackdaw.engine.training._codec_score import score_targets, train_reader
from jackdaw.engine.training._codec_start import start_codebooks, start_networks
from jackdaw.engine.training._features import FeatureStore, unpack, unpack_phases, unpack_turns
from jackdaw.engine.training._parallel import Workers
from jackdaw.engine.weights.tensors import read_tree, write_tree

__all__ = ["CodecTraining", "train"]

_CONFIG = CodecConfig()


@dataclass(frozen=True, kw_only=True)
class CodecTraining:
    """Settings of a training run: table ``[codec]`` of ``tiny.toml``."""

    seed: int = 0
    batch: int = 8
    token_frames: int = 52
    learning_rate: float = 8e-4
    warm_up_steps: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    patches: int = 24576
    vectors: int = 360000
    detail_vectors: int = 360000
    reader_steps: int = 2500
    root_weight: float = 20.0
    hold_weight: float = 0.02
    turn_weight: float = 0.8
    like_weight: float = 1.0
    encoder_rate: float = 0.2
    decoder_alone: float = 0.3
    all_levels: float = 0.6
    gain_low_db: float = -12.0
    gain_high_db: float = 3.0
    swap: float = 0.2
    mono: float = 0.1
    enough_seconds: float = 14000.0
    save_minutes: float = 4.0
    validation_songs: int = 8
    validation_token_frames: int = 150


class _Run(NamedTuple):
    """Everything that training changes."""

    params: dict[str, Any]
    optimiser: Any
    step: Array
    spent: Array


def _optimiser(settings: CodecTraining) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(settings.clip),
        optax.scale_by_adam(b1=0.9, b2=0.98),
        optax.add_decayed_weights(settings.weight_decay, lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    )


def _fresh(settings: CodecTraining) -> _Run:
    params = tiny_codec.init_params(jax.random.key(settings.seed))
    return _Run(params, _optimiser(settings).init(params), jnp.int32(0), jnp.float32(0))


def _augment(packed: Array, gains: Array, swap: Array, mono: Array) -> Array:
    bands = unpack(packed) * gains[:, None, None, None]
    left, right, mid = bands[:, :, 0], bands[:, :, 1], bands[:, :, 2]
    swap, mono = swap[:, None, None], mono[:, None, None]
    left, right = jnp.where(swap, right, left), jnp.where(swap, left, right)
    return jnp.stack([jnp.where(mono, mid, left), jnp.where(mono, mid, right), mid], axis=2)


def _loss(
    params: dict[str, Any], bands: Array, turns: Array, levels: Array, settings: CodecTraining
) -> tuple[Array, tuple[Array, Array]]:
    """Errors of log magnitudes, of their roots, in which loud ones count more, of turns, and for the ear."""
    _, latent = tiny_codec.encode_latent(params, (), bands)
    if settings.decoder_alone >= 1.0:
        latent = jax.lax.stop_gradient(latent)
    codes = tiny_codec.quantise(jax.lax.stop_gradient(params["codebooks"]), jax.lax.stop_gradient(latent))
    books = params["codebooks"] * tiny_codec.told_by()
    parts = jnp.stack([books[k][codes[..., k]] for k in range(_CONFIG.sound_levels)])
    kept = jnp.arange(_CONFIG.sound_levels)[:, None, None, None] < levels[None, :, None, None]
    # the codebooks get the slope of what they add, the encoder the slope of their sum
    heard = jnp.where(kept, parts, 0).sum(0) + latent - jax.lax.stop_gradient(latent)
    _, made, arrows = tiny_codec.decode_latent(params, tiny_codec.decode_init(batch=bands.shape[:1]), heard)
    target = log_bands(bands)
    log_error = jnp.mean(jnp.abs(made - target))
    root_error = jnp.mean(jnp.abs(jnp.exp(0.5 * jnp.minimum(made, 4.0)) - jnp.exp(0.5 * target)))
    turn_error = _turn_error(arrows, turns, bands[..., 2, :TURNS])
    unlike = 1.0 - likeness(bands[..., 2, :], jnp.exp(jnp.minimum(made[..., 2, :], 4.0)) - tiny_codec.FLOOR)
    away = jnp.mean(jnp.sum((latent - parts.sum(0)) ** 2, axis=-1))
    size = jnp.mean(jnp.sum((latent - jnp.mean(latent, axis=(0, 1))) ** 2, axis=-1))
    loss = log_error + settings.root_weight * root_error + settings.hold_weight * away
    loss += settings.turn_weight * turn_error + settings.like_weight * unlike
    return loss, (jnp.stack([log_error, root_error, turn_error, unlike, away / size]), codes)


def _turn_error(arrows: Array, turns: Array, magnitudes: Array) -> Array:
    """Return how far arrows are from the unit arrows of turns, the roots of magnitudes counting: 1 for no arrows."""
    targets = jnp.stack([jnp.cos(turns), jnp.sin(turns)], axis=-2)
    weights = jnp.sqrt(magnitudes)
    return jnp.sum(weights * jnp.sum((arrows - targets) ** 2, axis=-2)) / jnp.maximum(jnp.sum(weights), 1e-9)


@partial(jax.jit, static_argnames="settings", donate_argnums=0)
def _step(run: _Run, batch: dict[str, Array], progress: Array, *, settings: CodecTraining) -> tuple[_Run, Array, Array]:
    bands = _augment(batch["packed"], batch["gains"], batch["swap"], batch["mono"])
    (_, (errors, codes)), slopes = jax.value_and_grad(_loss, has_aux=True)(
        run.params, bands, unpack_turns(batch["packed"]), batch["levels"], settings
    )
    moves, optimiser = _optimiser(settings).update(slopes, run.optimiser, run.params)
    warm = jnp.minimum(1.0, (run.step + 1) / settings.warm_up_steps)
    rate = settings.learning_rate * warm * (0.5 + 0.5 * jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
    together = settings.encoder_rate * (progress < 1.0 - settings.decoder_alone)
    rates = {"encoder": rate * together, "codebooks": rate * together, "decoder": rate, "detail": 0.0}
    params = {
        name: jax.tree.map(lambda p, m, of=rates[name]: p - of * m, tree, moves[name])
        for name, tree in run.params.items()
    }
    params["encoder"]["score"] = run.params["encoder"]["score"]
    return _Run(params, optimiser, run.step + 1, run.spent), errors, codes


def _batch(
    songs: list[NDArray[np.uint8]], step: int, settings: CodecTraining, count: int, rank: int = 0
) -> dict[str, Any]:
    """Draw rows of a batch; they depend on the songs, the settings, the step and the rank alone."""
    draw = np.random.default_rng([settings.seed, step, rank])
    n, frames = count, settings.token_frames * FRAMES_PER_TOKEN
    songs = [song for song in songs if len(song) > frames]
    lengths = np.array([len(song) for song in songs], float)
    chosen = draw.choice(len(songs), n, p=lengths / lengths.sum())
    starts = [int(draw.integers(0, len(songs[i]) - frames)) for i in chosen]
    all_levels = _CONFIG.sound_levels
    levels = np.where(draw.random(n) < settings.all_levels, all_levels, draw.integers(1, all_levels, n))
    return {
        "packed": np.stack([songs[i][at : at + frames] for i, at in zip(chosen, starts, strict=True)]),
        "gains": 10 ** (draw.uniform(settings.gain_low_db, settings.gain_high_db, n) / 20).astype(np.float32),
        "swap": draw.random(n) < settings.swap,
        "mono": draw.random(n) < settings.mono,
        "levels": levels.astype(np.int32),
    }


def _clips(songs: list[NDArray[np.uint8]], settings: CodecTraining, count: int) -> Iterator[tuple[Array, Array]]:
    """Bands and phases of random short clips, `count` token frames in all."""
    short, rows = replace(settings, token_frames=8), 64
    for number in range(-(-count // (rows * short.token_frames))):
        drawn = _batch(songs, number, short, rows)
        packed, *others = (jnp.asarray(drawn[name]) for name in ("packed", "gains", "swap", "mono"))
        yield _augment(packed, *others), unpack_phases(packed)


def _start(run: _Run, store: FeatureStore, settings: CodecTraining, earlier: dict[str, Any] | None) -> _Run:
    """Take an earlier codec, or make one by statistics; a codec without codebooks gets a reader and codebooks."""
    params, songs = run.params, store.songs("train")
    if earlier is None:
        bands = np.concatenate([np.asarray(clip) for clip, _ in _clips(songs, settings, settings.patches)])
        params = start_networks(params, np.log(bands + HEARING), _CONFIG)
    else:
        params = {**params, **earlier, "decoder": {**params["decoder"], **earlier["decoder"]}}
    if earlier is None or "codebooks" not in earlier:
        gains = settings.gain_low_db, settings.gain_high_db
        targets = [
            score_targets(notes, len(song) // FRAMES_PER_TOKEN)
            for notes, song in zip(store.notes("train"), songs, strict=False)
        ]
        reader = run.params["encoder"]["score"]
        reader = train_reader(reader, songs[: len(targets)], targets, settings.reader_steps, settings.seed, gains)
        params = {**params, "encoder": {**params["encoder"], "score": reader}}
        encode = jax.jit(lambda bands: tiny_codec.encode_latent(params, (), bands)[1])
        latent = np.concatenate([np.asarray(encode(clip)) for clip, _ in _clips(songs, settings, settings.vectors)])
        latent = latent.reshape(-1, latent.shape[-1])
        books = start_codebooks(latent, np.asarray(tiny_codec.told_by()), settings.seed, _CONFIG.codebook)
        params["codebooks"] = jnp.asarray(books)
    return run._replace(params=params)


def _mel() -> NDArray[np.float32]:
    """Triangles of equal width on the mel scale, shape (BANDS, 128), for powers of bands."""
    centres = np.concatenate([np.arange(241), 241.5 + 2 * np.arange(60), 362.5 + 4 * np.arange(50)])
    centres = np.concatenate([centres, 566.5 + 12 * np.arange(33)]) * RATE / 1920
    widths = np.repeat([1, 2, 4, 12], [241, 60, 50, 33])
    mels = 2595 * np.log10(1 + centres / 700)
    edges = np.linspace(0, mels[-1], 130)
    rise = (mels[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[None, 2:] - mels[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall)) * widths[:, None]
    # The lowest triangles are narrower than a band: give them the nearest one.
    for k in np.flatnonzero(filters.sum(0) == 0):
        filters[np.argmin(np.abs(mels - edges[k + 1])), k] = 1
    return (filters / filters.sum(0)).astype(np.float32)


@partial(jax.jit, static_argnames="levels")
def _judge(params: dict[str, Any], packed: Array, mel: Array, *, levels: int) -> tuple[Array, Array]:
    """Mean absolute error of log magnitudes (nepers) and of 128 mel bands (dB, floor -80), and the codes."""
    bands = unpack(packed)
    batch = (packed.shape[0],)
    _, codes = tiny_codec.encode_step(params, (), bands, unpack_phases(packed))
    _, made, _, _ = tiny_codec.decode_step(params, tiny_codec.decode_init(batch=batch), codes[..., :levels])
    logs, decibels = ([f(x) for x in (bands, made)] for f in (log_bands, lambda x: 10 * jnp.log10(x**2 @ mel + 1e-8)))
    return jnp.stack([jnp.mean(jnp.abs(x[0] - x[1])) for x in (logs, decibels)]), codes


def _validation(
    run: _Run, songs: list[NDArray[np.uint8]], settings: CodecTraining, most: int = _CONFIG.sound_levels
) -> str:
    frames = settings.validation_token_frames * FRAMES_PER_TOKEN
    songs = [song for song in songs if len(song) > frames + 400][: settings.validation_songs]
    if not songs:
        return "no validation songs yet"
    packed, mel, params = np.stack([song[400 : 400 + frames] for song in songs]), jnp.asarray(_mel()), run.params
    parts = []
    for levels in sorted({3, _CONFIG.sound_levels, most}):
        errors, codes = _judge(params, packed, mel, levels=levels)
        parts.append(f"{levels} levels: log {float(errors[0]):.3f} mel {float(errors[1]):.2f} dB")
    return f"{len(songs)} songs; " + "; ".join(parts) + "; " + _usage(np.asarray(codes[..., :most]))


def _usage(codes: NDArray[np.int32]) -> str:
    """Describe codes: perplexity of each level."""
    parts = []
    for level in codes.reshape(-1, codes.shape[-1]).T:
        share = np.bincount(level, minlength=_CONFIG.codebook) / len(level)
        share = share[share > 0]
        parts.append(f"{math.exp(-float((share * np.log(share)).sum())):.0f}")
    return "perplexity " + " ".join(parts)


def _save(path: Path, run: _Run, settings: CodecTraining) -> None:
    save_checkpoint(path, run._asdict(), asdict(settings))


def _export(path: Path, run: _Run) -> None:
    write_tree(path, run.params, {"config": asdict(_CONFIG), "steps": int(run.step)}, narrow=True)


def train(
    corpus: Path,
    out: Path,
    minutes: float,
    *,
    resume: bool = False,
    settings: CodecTraining,
    export: Path | None = None,
    earlier: Path | None = None,
) -> None:
    """Train until `minutes` of training time are spent in all, or until Ctrl-C; then save.

    Parameters
    ----------
    corpus, out
        Folders of the songs, and of features and checkpoint.
    minutes
        Training time over which the learning rate falls to zero; time before a resume counts.
    resume
        Whether to go on from the checkpoint.
    settings
        Everything else.
    export
        Where to write the params in bfloat16 at the end, if anywhere.
    earlier
        Exported codec to begin with.

    Raises
    ------
    FileNotFoundError
        If there is nothing to resume.
    ValueError
        If the checkpoint is of another network.
    """
    workers = Workers()
    checkpoint, run = out / "checkpoint.safetensors", _fresh(settings)
    if resume:
        run = _Run(**load_checkpoint(checkpoint, run._asdict()))
    known = None if earlier is None else jax.tree.map(jnp.asarray, read_tree(earlier)[0])
    store = FeatureStore(corpus, out / "features")
    store.start()
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
    try:
        while sum(map(len, store.songs("train"))) < settings.enough_seconds * RATE / HOP and not stopped:
            time.sleep(1)
        run = _loop(run, store, checkpoint, minutes, settings, stopped, known, workers)
    finally:
        signal.signal(signal.SIGINT, before)
        store.stop()
    if not workers.leads:
        return
    _save(checkpoint, run, settings)
    if export is not None or not stopped:
        clips = _clips(store.songs("train"), settings, settings.detail_vectors)
        run = run._replace(params={**run.params, "detail": make_detail(run.params, clips, _CONFIG, settings.seed)})
        _save(checkpoint, run, settings)
    print("end:", _validation(run, store.songs("valid"), settings, _CONFIG.levels), flush=True)
    if export is not None:
        _export(export, run)


def _loop(
    run: _Run,
    store: FeatureStore,
    checkpoint: Path,
    minutes: float,
    settings: CodecTraining,
    stopped: list[int],
    earlier: dict[str, Any] | None,
    workers: Workers,
) -> _Run:
    """Train; returns the run with arrays of this process alone."""
    spent, total, number, rows = float(run.spent), minutes * 60, int(run.step), workers.rows(settings.batch)
    saved, recent, codes = time.monotonic(), [], []
    if number == 0 and workers.leads and not stopped:
        run = _start(run, store, settings, earlier)
        print("start:", _validation(run, store.songs("valid"), settings), flush=True)
    run = workers.spread(run)
    while True:
        spent, stopping = workers.agreed([spent, float(bool(stopped))])
        if spent >= total or stopping:
            return jax.tree.map(jnp.asarray, workers.own(run))
        began, songs = time.monotonic(), store.songs("train")
        batch = workers.divided(_batch(songs, number, settings, rows, workers.rank))
        run, errors, chosen = _step(run, batch, jnp.float32(spent / total), settings=settings)
        recent.append(workers.own(errors))
        codes.append(np.asarray(chosen.addressable_data(0)))
        number += 1
        spent += time.monotonic() - began
        run = run._replace(spent=workers.shared(np.float32(spent)))
        if not workers.leads:
            continue
        if number % 50 == 0:
            log, root, turn, unlike, away = np.mean(recent, axis=0)
            hours = sum(map(len, songs)) * HOP / RATE / 3600
            print(
                f"step {number}  {spent / 60:.1f} of {minutes:g} min  log {log:.4f}  root {root:.5f}"
                f"  turn {turn:.4f}  unlike {unlike:.4f}"
                f"  away {away:.4f}  {_usage(np.stack(codes))}  corpus {hours:.2f} h"
                f"  ends in {(total - spent) / 60:.1f} min",
                flush=True,
            )
            recent, codes = [], []
        if time.monotonic() - saved > settings.save_minutes * 60:
            mine = workers.own(run)
            _save(checkpoint, mine, settings)
            print("valid:", _validation(mine, store.songs("valid"), settings), flush=True)
            saved = time.monotonic()
