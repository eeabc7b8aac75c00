"""Three instances in one host process, one engine: each plays its own prompt."""

from collections.abc import Callable

import numpy as np
from rooms import Room
from studio import wait_until

from jackdaw.engine.protocol.messages import ControlError

PROMPTS = ("bossa nova", "military march", "slow blues")


def test_three_prompts_at_once(room: Callable[[str], Room]) -> None:
    place = room("tiny")
    states = [
        f'<jackdaw version="1" model="tiny" seed="7"><prompt slot="1" text="{prompt}"/></jackdaw>' for prompt in PROMPTS
    ]
    enough = place.folder / "enough"
    host = place.begin("together", states=states, seconds=4.0, until=str(enough), rate=48000, block=512)

    def prompts() -> set[tuple[str, ...]]:
        ready = [one["session"] for one in place.sessions() if one["phase"] == "ready"]
        try:
            told = [place.ask("attach", session)["prompts"] for session in ready]
        except ControlError:  # an instance opens its session anew when the engine was slow to answer: look again
            return set()
        return {tuple(prompt["name"] for prompt in each) for each in told}

    wait_until("three sessions with their prompts", lambda: prompts() == {(prompt,) for prompt in PROMPTS}, 60)
    enough.touch()
    wait_until("the host's end", lambda: not host.alive, 90)
    assert host.stop() == 0, host.log.read_text()[-2000:]
    takes = [place.audio(number)[:, -48000:] for number in range(3)]
    for number, take in enumerate(takes):
        assert np.sqrt(np.mean(take**2)) > 0.005, number
        for other in takes[number + 1 :]:
            likeness = np.corrcoef(take[0], other[0])[0, 1]
            assert abs(likeness) < 0.5
