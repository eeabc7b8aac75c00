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
    width=48, hidden=64, latent=24, levels=6, codebook=128, detail=12, detail_levels=2, treble=4, teller=16
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


def heard_in(samples):
    """Bands and turns of a whole stream."""
    _, bands, spectra = tiny_spectrum.analyse_step(tiny_spectrum.analyse_init(), samples)
    return bands, tiny_spectrum.turns_of_spectra(np.zeros_like(spectra[0]), spectra)


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
        state, codes = encode()(state, bands, tiny_spectrum.turns_of_spectra(spectra[0], spectra))
        parts.append(codes)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.shape == (TOKENS, CONFIG.levels)
    assert whole.dtype == np.int32


@settings(max_examples=8, deadline=None)
@given(SPLITS)
def test_decoding_in_pieces_gives_the_same_bands_and_turns(sizes):
    codes = np.random.default_rng(1).integers(0, CONFIG.codebook, (TOKENS, CONFIG.levels)).astype(np.int32)
    _, whole, turned = decode()(tiny_codec.decode_init(CONFIG), codes)
    state, parts = tiny_codec.decode_init(CONFIG), []
    for piece in pieces(sizes):
        state, *made = decode()(state, codes[piece])
        parts.append(made)
    parts, turns = (np.concatenate(part) for part in zip(*parts, strict=True))
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.exp(1j * turns), np.exp(1j * np.asarray(turned)), atol=0.05)
    assert turned.shape == (TOKENS * FRAMES_PER_TOKEN, TURNS)
    assert whole.shape == (TOKENS * FRAMES_PER_TOKEN, 3, BANDS)
    assert np.all(np.asarray(whole) >= 0)


@settings(max_examples=8, deadline=None)
@given(SPLITS)
def test_spectra_and_synthesis_in_pieces_give_the_same_samples(sizes):
    _, whole = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(3), *heard_in(audio()))
    ear, state, parts = tiny_spectrum.analyse_init(), tiny_spectrum.synthesise_init(3), []
    before = np.zeros((2, tiny_spectrum.BINS), np.complex64)
    for piece in pieces(sizes):
        ear, bands, spectra = tiny_spectrum.analyse_step(ear, audio()[scaled(piece, TOKEN_SAMPLES)])
        state, made = tiny_spectrum.synthesise_step(state, bands, tiny_spectrum.turns_of_spectra(before, spectra))
        before = spectra[-1]
        parts.append(made)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


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
    bands, turns = heard_in(np.repeat(tones[:, None], 2, axis=1).astype(np.float32))
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
    _, made = tiny_spectrum.synthesise_step(tiny_spectrum.synthesise_init(), *heard_in(click))
    centre = np.average(np.arange(len(made)), weights=np.sum(made**2, axis=1))
    assert abs(centre - (10000 + LOOKAHEAD)) < tiny_spectrum.HOP


@pytest.mark.parametrize("levels", [2, CONFIG.sound_levels, CONFIG.sound_levels + 1, CONFIG.levels])
def test_fewer_levels_decode_too_and_codes_have_a_latent(levels):
    codes = np.random.default_rng(1).integers(0, CONFIG.codebook, (3, CONFIG.levels)).astype(np.int32)[:, :levels]
    latent = np.asarray(tiny_codec.codes_to_latent(params(), codes))
    books = [*np.asarray(params()["codebooks"]), *np.asarray(params()["details"])]
    sums = [np.zeros((3, book.shape[-1]), np.float32) for book in (books[0], books[-1])]
    for k in range(levels):
        sums[k >= CONFIG.sound_levels] += books[k][codes[:, k]]
    np.testing.assert_allclose(latent, np.concatenate(sums, axis=1), atol=1e-5)
    _, made, _ = decode()(tiny_codec.decode_init(CONFIG), codes)
    assert made.shape == (3 * FRAMES_PER_TOKEN, 3, BANDS)


def test_the_first_turn_of_a_token_frame_is_not_read():
    # it comes from the frame before, and what is heard may begin anywhere
    bands, turns = heard()
    others = turns.copy()
    others[::FRAMES_PER_TOKEN] += 1.0
    state = tiny_codec.encode_init(CONFIG)
    np.testing.assert_array_equal(encode()(state, bands, turns)[1], encode()(state, bands, others)[1])


def test_detail_tells_where_a_low_note_lies_between_bins():
    # A flat and A have their peak in the same bin; the arrow of its turn tells the frequency.
    time = np.arange(TOKENS * TOKEN_SAMPLES) / tiny_spectrum.RATE
    for pitch in (110.0 * 2 ** (-1 / 12), 110.0):
        tone = 0.3 * np.sin(2 * np.pi * pitch * time)
        bands, turns = heard_in(np.repeat(tone[:, None], 2, axis=1).astype(np.float32))
        assert (bands[8:, 2].argmax(axis=1) == 4).all()
        cosine, sine = np.asarray(tiny_detail.features(bands, turns))[2:, [4, TURNS + 4]].T
        frequency = 100.0 + np.arctan2(sine, cosine) / (2 * np.pi) * tiny_spectrum.RATE / tiny_spectrum.HOP
        np.testing.assert_allclose(frequency, pitch, atol=1.0)


def test_detail_of_treble_follows_its_noise():
    rng = np.random.default_rng(3)
    noise = 0.05 * rng.normal(size=(TOKENS * TOKEN_SAMPLES, 2)).astype(np.float32)
    noise[len(noise) // 2 :] *= 2.0
    told = np.asarray(tiny_detail.features(*heard_in(noise)))[:, -FRAMES_PER_TOKEN * tiny_detail.GROUPS :]
    rise = told[TOKENS // 2 + 1 :].mean() - told[1 : TOKENS // 2].mean()
    assert rise == pytest.approx(np.log(2.0) / tiny_spectrum.SPREAD, abs=0.02)


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


def test_no_codes_mean_rumble():
    loud = params() | {"codebooks": 40.0 * np.asarray(params()["codebooks"])}
    codes = np.random.default_rng(2).integers(0, CONFIG.codebook, (TOKENS, CONFIG.levels)).astype(np.int32)
    after, logs, _ = tiny_codec.decode_latent(
        loud, tiny_codec.decode_init(CONFIG), tiny_codec.codes_to_latent(loud, codes), config=CONFIG
    )
    assert np.any(np.asarray(logs)[..., :2] > np.asarray(logs)[..., 2:3])
    state, made, _ = tiny_codec.decode_step(loud, tiny_codec.decode_init(CONFIG), codes, config=CONFIG)
    assert np.all(np.asarray(made)[..., :2] <= np.asarray(made)[..., 2:3])
    jax.tree.map(np.testing.assert_array_equal, state, after)
