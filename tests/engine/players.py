"""Helpers of these tests: a session on a real segment, and a reader that renders from it without an audio server."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from jackdaw.dsp import SegmentReader
from jackdaw.engine.host import Host
from jackdaw.engine.models.contract import Audio, Model
from jackdaw.engine.options import Options
from jackdaw.engine.session import Session


def unique_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so; fail if it never is (a generous bound against hanging, not a promise of speed)."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


@contextmanager
def hosting(*models: Model, capacity: int = 262144) -> Iterator[Host]:
    """A host that knows these models, by the names in their specs; it must not break down."""
    host = Host(load={model.spec.name: model for model in models}.__getitem__, capacity=capacity)
    try:
        yield host
    finally:
        host.stop()
    assert host.error is None


def opened(host: Host, model: str, options: Options | None = None, name: str | None = None) -> Session:
    """Open a session and wait until it is ready."""
    session = host.open(name or unique_name(), model=model, options=options)
    assert session.wait_until_ready(60.0), session.error_text
    return session


@contextmanager
def playing(
    model: Model, options: Options | None = None, name: str | None = None, *, capacity: int = 262144
) -> Iterator[tuple[Session, str]]:
    """A host with one session, which must not fail."""
    with hosting(model, capacity=capacity) as host:
        session = opened(host, model.spec.name, options, name)
        yield session, session.name
        assert session.error_text is None, session.error_text


class Reader:
    """A client that renders blocks on the calling thread.

    Blocks wait for the engine (freewheel) unless told otherwise; `out` and `heard` keep everything that went through.
    """

    def __init__(self, name: str, rate: int = 48000, block: int = 256, *, freewheel: bool = True) -> None:
        self.rate, self.block = rate, block
        self.segment = SegmentReader.attach(name)
        self.segment.set_reader(rate, block)
        self.segment.freewheel(freewheel)
        self.segment.arm(True)
        self.out: list[Audio] = []
        self.input: list[Audio] = []

    def wait_until_engine_is_ready(self) -> None:
        wait_for(lambda: self.segment.ring_rate == self.rate and self.segment.target > 0)

    def render(self, seconds: float, source: Callable[[int], Audio] | None = None, *, paced: bool = False) -> Audio:
        """Render blocks; `source(frames)` gives the input. Paced: as a sound card would, in real time."""
        begun, done, first = time.monotonic(), 0, len(self.out)
        while done < seconds * self.rate:
            sound = np.zeros((self.block, 2), np.float32) if source is None else source(self.block)
            self.input.append(sound)
            self.out.append(self.segment.renderer.render(sound, self.block))
            done += self.block
            if paced:
                time.sleep(max(0.0, begun + done / self.rate - time.monotonic()))
        return np.concatenate(self.out[first:])

    def all(self) -> tuple[Audio, Audio]:
        """Return everything that was captured and everything that was played."""
        return np.concatenate(self.input), np.concatenate(self.out)

    def close(self) -> None:
        self.segment.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def band_limited_noise(rate: int, seed: int = 0, cutoff: float = 6000.0) -> Callable[[int], Audio]:
    """Return a source of stereo noise without much above `cutoff` Hz, so that resampling hardly changes it."""
    generator = np.random.default_rng(seed)
    spectrum = np.fft.rfft(generator.normal(size=(1 << 19, 2)), axis=0)
    frequency = np.fft.rfftfreq(1 << 19, 1 / rate)
    spectrum[frequency > cutoff] = 0
    noise = np.fft.irfft(spectrum, axis=0)
    noise = (0.2 * noise / noise.std()).astype(np.float32)
    at = 0

    def source(frames: int) -> Audio:
        nonlocal at
        piece = noise[at : at + frames]
        at += frames
        return piece

    return source


def delay_of(heard: Audio, played: Audio) -> int:
    """Return by how many frames `played` follows `heard`, by correlation over the whole length."""
    length = 2 * max(len(heard), len(played))
    product = np.fft.rfft(played[:, 0], length) * np.conj(np.fft.rfft(heard[:, 0], length))
    return int(np.argmax(np.fft.irfft(product, length)))
