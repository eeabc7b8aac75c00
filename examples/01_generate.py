"""Ten seconds of music, chunk by chunk.

    python examples/01_generate.py [--model tiny] [--prompt "disco funk"] [--out generated.wav]

Every chunk goes on from the state of the one before it, so the chunks fit together; a style may change between them.
"""

import argparse

from jackdaw import audio, system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", choices=system.names())
    parser.add_argument("--prompt", default="disco funk")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="generated.wav")
    arguments = parser.parse_args()

    player = system.load(arguments.model)
    style = player.embed_style(arguments.prompt)

    state = None
    chunks = []
    while len(chunks) * player.config.chunk_length < arguments.seconds:
        state, chunk = player.generate_chunk(state=state, style=style, seed=arguments.seed)
        chunks.append(chunk)
        print(f"{len(chunks) * player.config.chunk_length:.0f} s")

    music = audio.concatenate(chunks, crossfade_time=player.config.crossfade_length).cut(0.0, arguments.seconds)
    music.write(arguments.out)
    print(f"wrote {arguments.out}: {music.duration:.1f} s, peak {music.peak():.2f}")


if __name__ == "__main__":
    main()
