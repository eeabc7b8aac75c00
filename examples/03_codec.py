"""Audio to tokens and back.

    python examples/03_codec.py [--model tiny] [--audio my_jam.mp3] [--out decoded.wav]

Tokens are what the language model reads and writes: a few small whole numbers, 25 times a second. Without --audio, the
model plays something first.
"""

import argparse
import math

from jackdaw import audio, system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", choices=system.names())
    parser.add_argument("--audio", help="WAV, FLAC, OGG or MP3")
    parser.add_argument("--out", default="decoded.wav")
    arguments = parser.parse_args()

    player = system.load(arguments.model)
    if arguments.audio:
        original = audio.Waveform.from_file(arguments.audio)
    else:
        _, original = player.generate_chunk(style=player.embed_style("disco funk"))

    tokens = player.encode(original)
    decoded = player.decode(tokens)

    bits = player.config.levels * math.log2(player.config.codebook) * player.config.frame_rate
    print(f"{original.duration:.2f} s: {len(tokens)} frames of {tokens.shape[1]} tokens, {bits / 1000:.1f} kbit/s")
    print("first frames:", *(list(map(int, frame)) for frame in tokens[:3]), sep="\n  ")
    decoded.write(arguments.out)
    print(f"wrote {arguments.out}: {decoded.duration:.2f} s, peak {decoded.peak():.2f}")


if __name__ == "__main__":
    main()
