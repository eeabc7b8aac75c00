"""Messages that an engine has not asked for, and an oracle that knows what they may change.

:class:`Fuzzer` makes requests of every operation, most of them then damaged: bits flipped, cut off, lengths blown up,
types swapped, nested, framed wrongly. :class:`Oracle` reads the replies: it folds the requests that were granted into
what the session should hold, and checks with rules of its own that each of them deserved it.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgpack

__all__ = ["Fuzzer", "Oracle"]

Message = dict[str, Any]

_OTHERS = 4
_LENGTHS = (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9")
_STEP = {"v", "id", "op", "session", "client", "rev"}


def _anything(dice: random.Random, depth: int = 0) -> Any:
    simple: list[Callable[[], Any]] = [
        lambda: None,
        lambda: dice.random() < 0.5,
        lambda: dice.choice([-(2**63), -1, 0, 1, 7, 2**31, 2**63, 2**64 - 1]),
        lambda: dice.choice([0.0, -1.5, 0.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]),
        lambda: dice.choice(["", "temperature", "beep", "\x00", "ü" * 40, "../../etc/passwd", "x" * 3000]),
        lambda: dice.randbytes(dice.randrange(40)),
        lambda: msgpack.ExtType(dice.randrange(128), dice.randbytes(5)),
        lambda: msgpack.Timestamp(dice.randrange(2**31)),
    ]
    kind = dice.randrange(len(simple) + (2 if depth < 6 else 0))
    if kind < len(simple):
        return simple[kind]()
    if kind == len(simple):
        return [_anything(dice, depth + 1) for _ in range(dice.randrange(5))]
    return {dice.choice(["v", "op", "text", "values", "weight", "ü"]): _anything(dice, depth + 1) for _ in range(3)}


class Fuzzer:
    """Makes messages of every operation, each a list of frames.

    Parameters
    ----------
    session
        Whose requests they pretend to be; there are others, ``other-0`` .., which some open and close.
    tree
        The engine's parameters, from its operation ``tree``.
    seed
        Equal seed, equal messages.
    """

    def __init__(self, session: str, tree: list[Message], seed: int = 0) -> None:
        self._dice = random.Random(seed)
        self._session = session
        self._tree = tree
        self._revision = 0

    def message(self) -> tuple[list[bytes], bool]:
        """Return a message's frames, and whether it is meant to be valid."""
        dice = self._dice
        request = self._request()
        data = bytes(msgpack.packb(request))
        match dice.randrange(12):
            case 0 | 1:
                return [data], request["op"] not in _NEVER
            case 2:
                flipped = bytearray(data)
                for _ in range(dice.randint(1, 4)):
                    flipped[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
                return [bytes(flipped)], False
            case 3:
                return [data[: dice.randrange(len(data))]], False
            case 4:
                return [data + dice.randbytes(dice.randint(1, 20))], False
            case 5:
                at = dice.randrange(len(data))
                return [data[:at] + dice.choice(_LENGTHS) + data[at:]], False
            case 6:
                self._swap(request)
            case 7:
                request[dice.choice(["sesion", "valeus", "", "V", "prompt"])] = _anything(dice)
            case 8:
                # without a model, open would load the default one; without `now`, stop would stop
                del request[dice.choice([key for key in request if key not in ("model", "now")])]
            case 9:
                depth = dice.choice([10, 500, 1000, 100_000])
                nested = dice.choice([b"\x91", b"\x81\xa1a"]) * depth
                return [nested if dice.random() < 0.5 else data[:-1] + nested], False
            case 10:
                frames = [dice.choice([b"", data, dice.randbytes(9)]) for _ in range(dice.choice([2, 3, 30]))]
                return frames, False
            case _:
                return [dice.choice([b"", dice.randbytes(dice.randrange(200)), _pack(_anything(dice))])], False
        return [_pack(request)], False

    def _swap(self, request: Message) -> None:
        """Put something else somewhere into a request."""
        place: Any = request
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = self._dice.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and self._dice.random() < 0.7:
                place = place[key]
                continue
            place[key] = _anything(self._dice)
            return

    def _request(self) -> Message:
        dice = self._dice
        op = dice.choice(list(_MAKERS))
        request: Message = {"v": 1, "id": dice.randrange(2**40), "op": op}
        if op in ("open", "close"):
            request["session"] = f"other-{dice.randrange(_OTHERS)}"
        elif op not in ("hello", "models", "tree", "list", "stop"):
            request["session"] = self._session
            if dice.random() < 0.2:
                self._revision += 1
                request |= {"client": "fuzz", "rev": self._revision}
        request |= _MAKERS[op](dice)
        if op == "set":
            some = dice.sample(self._tree, dice.randrange(4))
            request["values"] = {each["name"]: dice.uniform(each["minimum"], each["maximum"]) for each in some}
        return request


def _pack(message: object) -> bytes:
    return bytes(msgpack.packb(message, strict_types=False, unicode_errors="surrogatepass"))


def _prompts(dice: random.Random) -> Message:
    texts = dice.sample(["disco", "slow blues", "acid house", "bossa nova", "rock"], dice.randrange(4))
    return {"prompts": [{"text": text, "weight": dice.choice([0, 0.25, 1.0])} for text in texts]}


def _transport(dice: random.Random) -> Message:
    return {"bpm": dice.uniform(30, 300), "beat": dice.uniform(0, 3.9), "beats_per_bar": 4, "rolling": True}


_MAKERS: Mapping[str, Callable[[random.Random], Message]] = {
    "hello": lambda _: {},
    "models": lambda _: {},
    "tree": lambda _: {},
    "list": lambda _: {},
    "open": lambda dice: {"model": "beep", "seed": dice.randrange(9), "lease_s": 1},
    "attach": lambda _: {},
    "close": lambda _: {},
    "prompt": _prompts,
    "set": lambda _: {"values": {}},
    "reset": lambda dice: {"seed": dice.randrange(99)},
    "notes": lambda dice: {"messages": [bytes([dice.choice([0x80, 0x90]), dice.randrange(128), 64])]},
    "transport": _transport,
    "state_get": lambda _: {},
    "state_set": lambda dice: {"size": 99, "offset": 0, "data": dice.randbytes(50), "model_hash": "other"},
    "stop": lambda _: {"now": True},
    "record": lambda dice: {"path": f"/proc/nowhere/{dice.randrange(9)}.flac"},
    "status": lambda _: {},
}

_NEVER = {"state_set", "stop"}
"""What is wrong even undamaged: states of other weights, and a stop with a field that it has not."""


class Oracle:
    """Knows what a session should hold.

    Parameters
    ----------
    session
        Its name.
    before
        The engine's reply to ``attach`` at the start.
    tree
        The engine's parameters.
    """

    def __init__(self, session: str, before: Message, tree: list[Message]) -> None:
        self._session = session
        self._tree = {each["name"]: each for each in tree}
        self.values: dict[str, float] = dict(before["values"])
        self.prompts = [prompt["name"] for prompt in before["prompts"]]
        self.granted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []

    def judge(self, frames: list[bytes], meant: bool, reply: object) -> None:
        """Take note of a reply; what should not be is added to `wrong`."""
        if not isinstance(reply, dict) or reply.get("v") != 1 or type(reply.get("ok")) is not bool:
            self.wrong.append(f"no reply of this protocol: {reply!r:.200}")
        elif not reply["ok"]:
            code = reply["error"]["code"]
            self.refused[code] += 1
            if meant and code not in ("no session", "in use", "bad file"):
                self.wrong.append(f"refused, though valid: {frames[0]!r:.200}: {reply['error']}")
        elif len(frames) != 1:
            self.wrong.append(f"granted, though in {len(frames)} frames")
        else:
            message = msgpack.unpackb(frames[0])
            if message["id"] != reply["id"]:
                self.wrong.append(f"the reply to another request: {frames[0]!r:.200}")
            self.granted[message["op"]] += 1
            if not reply.get("applied", True):
                return  # its revision was applied before: it changes nothing, whatever it holds
            if not self._deserved(message):
                self.wrong.append(f"granted, though wrong: {frames[0]!r:.200}")
            self._fold(message)

    def agrees(self, after: Message) -> bool:
        """Return whether ``attach`` now tells what should be."""
        return self.values == after["values"] and self.prompts == [prompt["name"] for prompt in after["prompts"]]

    def _deserved(self, message: Message) -> bool:
        op, given = message["op"], {key: value for key, value in message.items() if key not in _STEP}
        if op == "set":
            return set(given) == {"values"} and all(
                self._tree[name]["minimum"] <= value <= self._tree[name]["maximum"] and type(value) in (int, float)
                for name, value in given["values"].items()
            )
        if op == "prompt":
            return set(given) == {"prompts"} and all(
                set(prompt) <= {"text", "weight", "name"}
                and 0 < len(prompt["text"].strip()) <= 1000
                and type(prompt.get("weight", 1)) in (int, float)
                and 0 <= prompt.get("weight", 1) <= 1
                for prompt in given["prompts"]
            )
        if op == "reset":
            return set(given) <= {"seed", "epoch"} and type(given.get("seed", 0)) is int and given.get("seed", 0) >= 0
        if op == "notes":
            return set(given) == {"messages"} and all(
                len(note) in (2, 3) and note[0] > 127 for note in given["messages"]
            )
        if op == "transport":
            return 30 <= given["bpm"] <= 300 and 0 <= given["beat"] < given["beats_per_bar"] <= 12
        allowed = {"open": {"model", "seed", "hear", "floor_ms", "ceiling_ms", "lease_s"}, "record": {"path"}}
        return op not in _NEVER and set(given) <= allowed.get(op, {"snapshot", "offset"})

    def _fold(self, message: Message) -> None:
        if message.get("session") != self._session:
            return
        if message["op"] == "set":
            for name, value in message["values"].items():
                self.values[name] = float(round(value)) if self._tree[name]["integer"] else float(value)
        elif message["op"] == "prompt":
            self.prompts = [prompt.get("name") or prompt["text"] for prompt in message["prompts"]]
            for index, prompt in enumerate(message["prompts"], start=1):
                self.values[f"weight_{index}"] = float(prompt.get("weight", 1))
