"""A style between styles: words and recordings, each with a weight.

    python examples/02_blend_styles.py [--model tiny] [--audio my_jam.wav] [--out blended.wav]

The blend is the weighted mean of the embeddings at unit length; the list of distances shows what it is close to.
Without --audio, a recording is made first, by letting the model play.
"""

import argparse

from jackdaw import audio, system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", choices=system.names())
    parser.add_argument("--audio", help="a recording in the wanted style: WAV, FLAC, OGG or MP3")
    parser.add_argument("--out", default="blended.wav")
    arguments = parser.parse_args()

    player = system.load(arguments.model)
    if arguments.audio:
        recording = audio.Waveform.from_file(arguments.audio)
    else:
        _, recording = player.generate_chunk(style=player.embed_style("slow blues"), seed=1)

    ingredients = [(2.0, recording), (1.0, "bossa nova"), (0.5, "swing jazz piano")]
    blended = player.embed_style(ingredients)
    for weight, ingredient in ingredients:
        name = ingredient if isinstance(ingredient, str) else "the recording"
        print(f"weight {weight:g}  likeness {float(blended @ player.embed_style(ingredient)):+.2f}  {name}")

    state, first = player.generate_chunk(style=blended)
    _, second = player.generate_chunk(state=state, style=blended)
    music = audio.concatenate([first, second], crossfade_time=player.config.crossfade_length)
    music.write(arguments.out)
    print(f"wrote {arguments.out}: {music.duration:.1f} s")


if __name__ == "__main__":
    main()
