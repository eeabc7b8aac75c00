"""Steer an engine from any program: pyzmq and msgpack are all it takes.

    jackdaw serve &
    python examples/04_control.py "acid house"

Opens a session, gives it a prompt, turns a knob, and shows telemetry for a second. docs/protocol.md has the rest.
"""

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgpack
import zmq

runtime = os.environ.get("XDG_RUNTIME_DIR")
folder = Path(runtime) / "jackdaw" if runtime else Path(f"/tmp/jackdaw-{os.getuid()}")
context: "zmq.Context[Any]" = zmq.Context()
requests = context.socket(zmq.DEALER)
requests.setsockopt(zmq.LINGER, 0)
requests.connect(f"ipc://{folder}/engine.sock")
numbers = itertools.count(1)


def ask(op: str, **fields: Any) -> dict[str, Any]:
    """Send one request and return its reply."""
    requests.send(msgpack.packb({"v": 1, "id": next(numbers), "op": op, **fields}))
    if not requests.poll(10_000):
        sys.exit("no engine answers: start one with `jackdaw serve`")
    reply: dict[str, Any] = msgpack.unpackb(requests.recv())
    if not reply["ok"]:
        sys.exit(f"{op}: {reply['error']['code']}: {reply['error']['text']}")
    return reply


style, model = (*sys.argv[1:], *("acid house", "tiny")[len(sys.argv) - 1 :])
ask("open", session="example", model=model)
while (session := ask("attach", session="example"))["phase"] == "loading":
    time.sleep(0.1)
print(f"{session['model']} is {session['phase']}; its sound is in {session['segment']}")

ask("prompt", session="example", prompts=[{"text": style, "weight": 0.8}])
values = ask("set", session="example", values={"temperature": 0.9})["values"]
print(f"it plays {style} at temperature {values['temperature']}")

telemetry = context.socket(zmq.SUB)
telemetry.setsockopt(zmq.SUBSCRIBE, b"session/example")
telemetry.connect(ask("hello")["telemetry"])
for _ in range(10):
    topic, told = telemetry.recv_multipart()
    print(topic.decode(), {name: msgpack.unpackb(told)[name] for name in ("phase", "steps", "revision")})
ask("close", session="example")
context.destroy(linger=0)
