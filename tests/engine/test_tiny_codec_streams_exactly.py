"""The codec's stream: offline == step by step for any split, states are values, nothing depends on the future."""

from functools import cache, partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackdaw.engine.models import tiny_codec, tiny_detail, tiny_spectrum
from jackdaw.engine.models.tiny_codec import CodecConfig
from jackdaw.engine.models.tiny_codec_io import TinyCodec
from jackdaw.engine.models.tiny_spectrum import BANDS, FRAMES_PER_TOKEN, LOOKAHEAD, TOKEN_SAMPLES, TURNS

CONFIG = CodecConfig(
    width=48, hidden=64, latent=24, codebook=128, sound_levels=4, tone_levels=3, envelope_levels=2, components=40
)
TOKENS = 12
SPLITS = st.lists(st.integers(1, 5), min_size=1, max_size=TOKENS)


@cache
def params():
    return tiny_codec.init_params(jax.random.key(0), CONFIG)


@cache
def audio():
    rng = np.random.default_rng(0)
    time = np.arange(TOKENS * TOKEN_SAMPLES) / tiny_spectrum.RATE
    tones = sum(np.sin(2 * np.pi * f * time + p) for f, p in zip((110, 331, 2500), (0, 1, 2), strict=True))
    stereo = np.stack([tones, 0.5 * tones], axis=1) * 0.2 + 0.02 * rng.normal(size=(len(time), 2))
    return stereo.astype(np.float32)


def synthesised(bands, phases):
    _, made = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(), bands, None, phases)
    return made


def heard_in(samples):
    """Bands and low phases of a whole stream."""
    _, bands, spectra = tiny_spectrum.analyse_step(tiny_spectrum.analyse_init(), samples)
    return bands, tiny_spectrum.phases_of_spectra(spectra)


@cache
def heard():
    return heard_in(audio())


@cache
def encode():
    return partial(jax.jit(partial(tiny_codec.encode_step, config=CONFIG)), params())


@cache
def decode():
    return partial(jax.jit(partial(tiny_codec.decode_step, config=CONFIG)), params())


def pieces(sizes):
    """Ranges of token frames of the given sizes, and what is left."""
    start = 0
    for size in sizes:
        if start + size < TOKENS:
            yield slice(start, start + size)
            start += size
    yield slice(start, TOKENS)


def scaled(piece, factor):
    return slice(piece.start * factor, piece.stop * factor)


@settings(max_examples=8, deadline=None)
@given(SPLITS)
def test_encoding_in_pieces_gives_the_same_codes(sizes):
    _, whole = encode()(tiny_codec.encode_init(CONFIG), *heard())
    ear, state, parts = tiny_spectrum.analyse_init(), tiny_codec.encode_init(CONFIG), []
    for piece in pieces(sizes):
        ear, bands, spectra = tiny_spectrum.analyse_step(ear, audio()[scaled(piece, TOKEN_SAMPLES)])
        state, codes = encode()(state, bands, tiny_spectrum.phases_of_spectra(spectra))
        parts.append(codes)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.shape == (TOKENS, CONFIG.levels)
    assert whole.dtype == np.int32


@settings(max_examples=8, deadline=None)
@given(SPLITS)
def test_decoding_in_pieces_gives_the_same_bands_and_angles(sizes):
    codes = np.random.default_rng(1).integers(0, CONFIG.codebook, (TOKENS, CONFIG.levels)).astype(np.int32)
    _, whole, *angles = decode()(tiny_codec.decode_init(CONFIG), codes)
    state, parts = tiny_codec.decode_init(CONFIG), []
    for piece in pieces(sizes):
        state, *made = decode()(state, codes[piece])
        parts.append(made)
    parts, *pieced = (np.concatenate(part) for part in zip(*parts, strict=True))
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)
    for one, other in zip(pieced, angles, strict=True):
        np.testing.assert_allclose(np.exp(1j * one), np.exp(1j * np.asarray(other)), atol=0.05)
        assert one.shape == (TOKENS * FRAMES_PER_TOKEN, TURNS)
    assert whole.shape == (TOKENS * FRAMES_PER_TOKEN, 3, BANDS)
    assert np.all(np.asarray(whole) >= 0)


@settings(max_examples=8, deadline=None)
@given(SPLITS)
def test_spectra_and_synthesis_in_pieces_give_the_same_samples(sizes):
    _, _, spectra = tiny_spectrum.analyse_step(tiny_spectrum.analyse_init(), audio())
    bands, phases = heard()
    turns = tiny_spectrum.turns_of_spectra(np.zeros_like(spectra[0]), spectra)
    for low in ((turns, None), (None, phases)):
        _, whole = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(3), bands, *low)
        ear, state, parts = tiny_spectrum.analyse_init(), tiny_spectrum.synthesise_init(3), []
        before = np.zeros((2, tiny_spectrum.BINS), np.complex64)
        for piece in pieces(sizes):
            ear, some, spectra = tiny_spectrum.analyse_step(ear, audio()[scaled(piece, TOKEN_SAMPLES)])
            given = (tiny_spectrum.turns_of_spectra(before, spectra), None)
            given = given if low[1] is None else (None, tiny_spectrum.phases_of_spectra(spectra))
            state, made = tiny_spectrum.synthesise_step(state, some, *given)
            before = spectra[-1]
            parts.append(made)
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_known_phases_give_low_tones_back_as_they_were():
    time = np.arange(50 * TOKEN_SAMPLES) / tiny_spectrum.RATE
    tones = sum(np.sin(2 * np.pi * f * time + f) for f in (82.4, 110.0, 116.5, 329.6, 554.4, 1108.7))
    sound = np.repeat(0.1 * tones[:, None], 2, axis=1).astype(np.float32)
    bands, phases = heard_in(sound)
    made = synthesised(bands, phases)[LOOKAHEAD:]
    known = slice(LOOKAHEAD, len(made))
    assert np.std((made - sound[: len(made)])[known]) < 0.03 * np.std(sound)
    _, turned = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(), bands, np.zeros_like(phases))
    assert np.std((turned[LOOKAHEAD:] - sound[: len(made)])[known]) > 0.5 * np.std(sound)


def test_a_kept_state_goes_on_as_if_never_stopped():
    begun, rest = slice(4 * FRAMES_PER_TOKEN), slice(4 * FRAMES_PER_TOKEN, None)
    state, _ = encode()(tiny_codec.encode_init(CONFIG), *(part[begun] for part in heard()))
    kept = jax.tree.map(np.array, state)
    _, first = encode()(state, *(part[rest] for part in heard()))
    _, second = encode()(kept, *(part[rest] for part in heard()))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("token", [0, 5, TOKENS - 2])
def test_codes_depend_on_no_later_sample(token):
    changed = audio().copy()
    changed[TOKEN_SAMPLES * (token + 1) :] = 0.9
    codes = []
    for samples in (audio(), changed):
        codes.append(np.asarray(encode()(tiny_codec.encode_init(CONFIG), *heard_in(samples))[1]))
    np.testing.assert_array_equal(codes[0][: token + 1], codes[1][: token + 1])
    assert np.any(codes[0][token + 1 :] != codes[1][token + 1 :])


def test_two_low_notes_a_semitone_apart_both_sound():
    # Under a window of 40 ms they are one hump, that swells twice in the second: only the turns tell the two.
    time = np.arange(100 * TOKEN_SAMPLES) / tiny_spectrum.RATE
    pitches = 110.0 * 2 ** (np.array([0, 1]) / 12)
    tones = 0.3 * np.sin(2 * np.pi * pitches[:, None] * time).sum(axis=0)
    _, bands, spectra = tiny_spectrum.analyse_step(
        tiny_spectrum.analyse_init(), np.repeat(tones[:, None], 2, axis=1).astype(np.float32)
    )
    turns = tiny_spectrum.turns_of_spectra(np.zeros_like(spectra[0]), spectra)
    level = {}
    for name, known in (("known", turns), ("none", np.zeros_like(turns))):
        _, made = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(), bands, known)
        spectrum = np.abs(np.fft.rfft(made[48000:, 0] * np.hanning(len(made) - 48000)))
        frequency = np.fft.rfftfreq(len(made) - 48000, 1 / tiny_spectrum.RATE)
        both = [spectrum[np.abs(frequency - pitch) < 1.0].max() for pitch in pitches]
        others = spectrum[(np.abs(frequency - pitches[:, None]) > 3.0).all(axis=0)].max()
        level[name] = min(both) / others
    assert level["known"] > 10.0
    assert level["none"] < 1.0


def test_synthesis_lags_by_the_look_ahead_that_is_told():
    # A click comes out where it went in, LOOKAHEAD later, to within a hop.
    click = np.zeros((TOKENS * TOKEN_SAMPLES, 2), np.float32)
    click[10000] = 1.0
    made = synthesised(*heard_in(click))
    centre = np.average(np.arange(len(made)), weights=np.sum(made**2, axis=1))
    assert abs(centre - (10000 + LOOKAHEAD)) < tiny_spectrum.HOP


@pytest.mark.parametrize("levels", [2, CONFIG.sound_levels, CONFIG.sound_levels + 1, CONFIG.levels - 1, CONFIG.levels])
def test_fewer_levels_decode_too(levels):
    codes = np.random.default_rng(1).integers(0, CONFIG.codebook, (3, CONFIG.levels)).astype(np.int32)
    state, made, turns, phases = decode()(tiny_codec.decode_init(CONFIG), codes[:, :levels])
    after, whole, *_ = decode()(tiny_codec.decode_init(CONFIG), codes)
    assert made.shape == (3 * FRAMES_PER_TOKEN, 3, BANDS)
    assert turns.shape == (3 * FRAMES_PER_TOKEN, TURNS)
    assert (phases is None) == (levels <= CONFIG.sound_levels)
    assert np.any(np.asarray(made) != np.asarray(whole)) == (levels < CONFIG.levels)
    if levels >= CONFIG.sound_levels:  # the detail is put in after the network
        jax.tree.map(np.testing.assert_array_equal, state, after)


def told_wholly(bands, phases, made):
    """Bands and phases of a decoder that made `made`, all of the detail being told."""
    count = len(bands) // FRAMES_PER_TOKEN
    expect = {"project": np.zeros((1, tiny_detail.ENVELOPE), np.float32), "offset": np.float32(-3.0)}
    detail, said = {"components": np.eye(tiny_detail.TONES, dtype=np.float32), "expect": expect}, np.zeros((count, 1))
    moved, angles = tiny_detail.with_tones(detail, made, tiny_detail.tones_told(detail, bands, phases))
    told = tiny_detail.envelope_told(detail, said, bands)
    return np.asarray(tiny_detail.with_envelope(detail, moved, said, told)), np.asarray(angles)


def test_what_is_told_of_the_detail_is_put_in():
    # a decoder that made nothing of the tones, and all of it 6 dB too quiet
    bands, phases = heard()
    made = 0.5 * np.broadcast_to(bands.mean(axis=0), bands.shape)
    moved, angles = told_wholly(bands, phases, made)
    sounding = bands[8:, 2, 1:TURNS] > 1e-4
    away = np.exp(1j * angles[8:, 1:]) - np.exp(1j * phases[8:, 1:])
    assert np.abs(away[sounding]).max() < 1e-3
    envelopes = [np.asarray(tiny_detail.envelope(x)) for x in (bands, moved, made)]
    np.testing.assert_allclose(envelopes[1], envelopes[0], atol=1e-3)
    assert np.abs(envelopes[2] - envelopes[0]).max() > 0.5
    kept = moved[8:, 0] / np.maximum(moved[8:, 2], 1e-9)  # left beside mid, as it was made
    np.testing.assert_allclose(kept, made[8:, 0] / np.maximum(made[8:, 2], 1e-9), rtol=1e-3)


def test_silence_is_told_and_stays_silent():
    bands, phases = np.zeros((8, 3, BANDS), np.float32), np.zeros((8, TURNS), np.float32)
    assert not np.asarray(tiny_detail.tones(bands, phases)).any()
    for made in (bands, bands + 1e-3):
        moved, angles = told_wholly(bands, phases, made)
        assert np.isfinite(angles).all()
        assert moved.max() <= 1e-3
    codes = encode()(tiny_codec.encode_init(CONFIG), bands, phases)[1]
    assert np.isfinite(np.asarray(decode()(tiny_codec.decode_init(CONFIG), codes)[1])).all()


def test_envelopes_follow_noise():
    rng = np.random.default_rng(3)
    noise = 0.05 * rng.normal(size=(TOKENS * TOKEN_SAMPLES, 2)).astype(np.float32)
    noise[len(noise) // 2 :] *= 2.0
    told = np.asarray(tiny_detail.envelope(heard_in(noise)[0]))
    rise = told[TOKENS // 2 + 1 :].mean(axis=0) - told[1 : TOKENS // 2].mean(axis=0)
    assert rise.mean() == pytest.approx(np.log(2.0), abs=0.02)
    assert told.shape == (TOKENS, tiny_detail.ENVELOPE)


@pytest.mark.parametrize("samples", [1, TOKEN_SAMPLES, 5 * TOKEN_SAMPLES + 7])
def test_whole_waveforms_keep_their_length(samples):
    codec = TinyCodec(params(), CONFIG)
    codes = codec.encode(audio()[:samples])
    frames = -(-samples // TOKEN_SAMPLES)
    assert codes.shape == (frames, CONFIG.levels)
    assert codec.decode(codes).shape == (frames * TOKEN_SAMPLES, 2)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="audio has shape"):
        tiny_spectrum.analyse_step(tiny_spectrum.analyse_init(), np.zeros((481, 2), np.float32))
    with pytest.raises(ValueError, match="bands has shape"):
        tiny_spectrum.synthesise_step(
            tiny_spectrum.synthesise_init(), np.zeros((4, 2, BANDS), np.float32), np.zeros((4, TURNS), np.float32)
        )
    with pytest.raises(ValueError, match="turns has shape"):
        tiny_spectrum.synthesise_step(
            tiny_spectrum.synthesise_init(), np.zeros((4, 3, BANDS), np.float32), np.zeros((3, TURNS), np.float32)
        )
    with pytest.raises(ValueError, match="phases has shape"):
        synthesised(np.zeros((4, 3, BANDS), np.float32), np.zeros((4, TURNS + 1), np.float32))


def test_no_codes_mean_rumble_or_whistles():
    loud = params() | {"codebooks": 40.0 * np.asarray(params()["codebooks"])}
    codes = np.random.default_rng(2).integers(0, CONFIG.codebook, (TOKENS, CONFIG.levels)).astype(np.int32)
    said = tiny_codec.summed(loud["codebooks"], codes[:, : CONFIG.sound_levels])
    after, logs, _ = tiny_codec.decode_latent(loud, tiny_codec.decode_init(CONFIG), said, config=CONFIG)
    assert np.any(np.asarray(logs)[..., :2] > np.asarray(logs)[..., 2:3])
    state, made, *_ = tiny_codec.decode_step(loud, tiny_codec.decode_init(CONFIG), codes, config=CONFIG)
    assert np.all(np.asarray(made)[..., :2] <= np.asarray(made)[..., 2:3])
    ceiling = np.minimum(np.quantile(np.asarray(logs), 0.9, axis=(0, 1)), 0.0).astype(np.float32)
    low = loud | {"detail": loud["detail"] | {"ceiling": ceiling}}
    _, made, *_ = tiny_codec.decode_step(low, tiny_codec.decode_init(CONFIG), codes[:, :4], config=CONFIG)
    assert np.all(np.asarray(made) <= np.exp(ceiling))
    assert np.mean(np.asarray(made)[..., 2:] >= 0.999 * np.exp(ceiling[2:]) - tiny_codec.FLOOR) > 0.05
    jax.tree.map(np.testing.assert_array_equal, state, after)
