"""What each operation does with the host; one method per operation, by its name.

:meth:`Operations.answer` never raises: whatever a request is refused for becomes an error reply. Fast operations run on
the control thread, slow ones on the worker's (see :class:`~jackdaw.engine.protocol.messages.Operation`); both call in
here, and what they share is the host, which any thread may use, and :class:`Revisions`.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from jackdaw import __version__
from jackdaw.engine.host import MAX_SESSIONS, Host, HostError
from jackdaw.engine.options import Options
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.presets import read
from jackdaw.engine.prompts import MAX_PROMPTS, Prompt
from jackdaw.engine.protocol.desk import BURST, PER_SECOND
from jackdaw.engine.protocol.fields import MAX_NOTES, MAX_STATE
from jackdaw.engine.protocol.messages import MAX_MESSAGE, OPERATIONS, VERSION, ControlError, Request
from jackdaw.engine.protocol.revisions import Revisions
from jackdaw.engine.protocol.transfers import PART, Snapshots, Uploads
from jackdaw.engine.session import Session
from jackdaw.engine.weights.registry import MODELS
from jackdaw.log import Log

__all__ = ["Caller", "Operations", "refusal"]

_DEFAULTS = Options()
_LONGEST_TEXT = 1000
_LIMITS = {
    "message": MAX_MESSAGE,
    "requests_per_s": PER_SECOND,
    "burst": BURST,
    "sessions": MAX_SESSIONS,
    "prompts": MAX_PROMPTS,
    "notes": MAX_NOTES,
    "state": MAX_STATE,
    "part": PART,
}


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    connection
        Tells connections apart.
    telemetry
        Where those who came this way find telemetry.
    """

    connection: object
    telemetry: str


def refusal(number: int, code: str, text: str) -> bytes:
    """Return the error reply to the request of that number."""
    error = {"code": code, "text": text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."}
    return bytes(msgpack.packb({"v": VERSION, "id": number, "ok": False, "error": error}))


class Operations:
    """Does what is asked.

    Parameters
    ----------
    host
        Of the sessions.
    engine
        Its name.
    on_stop
        Called when a client asks the engine to stop.
    log
        Where breakdowns go.
    """

    def __init__(self, host: Host, engine: str, on_stop: Callable[[], None], log: Log) -> None:
        self._host = host
        self._engine = engine
        self._on_stop = on_stop
        self._log = log
        self._revisions = Revisions()
        self._snapshots = Snapshots()
        self._uploads = Uploads()
        self._do: dict[str, Callable[[Request, Caller], dict[str, Any]]] = {
            op: getattr(self, f"_{op}") for op in OPERATIONS
        }

    def answer(self, request: Request, caller: Caller) -> bytes:
        """Do what is asked; return the reply, packed."""
        try:
            reply = self._once(request, caller)
            return bytes(msgpack.packb({"v": VERSION, "id": request.number, "ok": True, **reply}))
        except (ControlError, HostError) as error:
            code, text = error.code, str(error)
        except ValueError as error:
            code, text = "bad value", str(error)
        except OSError as error:
            code, text = "bad file", str(error)
        except Exception as error:  # one client's request must not end the music of the others
            self._log.warning("operation failed", op=request.op, of=request.session, error=repr(error))
            code, text = "failed", f"{request.op}: {error!r}"
        return refusal(request.number, code, text)

    def _once(self, request: Request, caller: Caller) -> Mapping[str, Any]:
        do = self._do[request.op]
        if not request.session or request.op == "open":
            return do(request, caller)
        session = self._host.get(request.session)
        self._host.touch(request.session)
        if not (request.revision and request.operation.changes):
            return {**do(request, caller), "revision": session.revision}
        asked = (session, request.client, request.op, request.revision)
        known = self._revisions.reply(*asked)
        if known is not None:
            return {**known, "applied": False}
        reply = {**do(request, caller), "revision": session.revision}
        self._revisions.note(*asked, reply)
        return reply

    def _session(self, request: Request) -> Session:
        return self._host.get(request.session)

    # ---- of the engine -------------------------------------------------------------------------------------

    def _hello(self, _request: Request, caller: Caller) -> dict[str, Any]:
        return {
            "engine": self._engine,
            "version": __version__,
            "pid": os.getpid(),
            "protocol": VERSION,
            "ops": list(OPERATIONS),
            "telemetry": caller.telemetry,
            "limits": _LIMITS,
        }

    def _models(self, _request: Request, _caller: Caller) -> dict[str, Any]:
        return {
            "models": [
                {
                    "name": entry.name,
                    "summary": entry.description,
                    "installed": all(path.is_file() for path in entry.weight_files()),
                }
                for entry in MODELS.values()
            ]
        }

    def _tree(self, _request: Request, _caller: Caller) -> dict[str, Any]:
        return {"parameters": [asdict(parameter) for parameter in PARAMETERS.values()]}

    def _list(self, _request: Request, _caller: Caller) -> dict[str, Any]:
        return {
            "sessions": [
                {
                    "session": session.name,
                    "model": session.model_name,
                    "phase": session.phase,
                    "reader": bool(session.status()["reader_alive"]),
                }
                for session in self._host.sessions()
            ]
        }

    def _stop(self, _request: Request, _caller: Caller) -> dict[str, Any]:
        self._on_stop()
        return {}

    # ---- of a session --------------------------------------------------------------------------------------

    def _open(self, request: Request, _caller: Caller) -> dict[str, Any]:
        given = request.fields
        options = Options(
            seed=given.get("seed", _DEFAULTS.seed),
            hear=given.get("hear"),
            floor_s=given.get("floor_ms", _DEFAULTS.floor_s * 1e3) / 1e3,
            ceiling_s=given.get("ceiling_ms", _DEFAULTS.ceiling_s * 1e3) / 1e3,
        )
        if options.floor_s > options.ceiling_s:
            raise ControlError(
                f"'floor_ms' is {options.floor_s * 1e3:g}, above 'ceiling_ms', {options.ceiling_s * 1e3:g}", "bad value"
            )
        model = given.get("model", "tiny")
        if model not in MODELS:
            raise ControlError(f"no model named {model!r}; there are: {', '.join(MODELS)}", "bad value")
        session = self._host.open(request.session, model=model, options=options, lease_s=given.get("lease_s"))
        return {**_description(session), "revision": session.revision}

    def _attach(self, request: Request, _caller: Caller) -> dict[str, Any]:
        return _description(self._session(request))

    def _close(self, request: Request, _caller: Caller) -> dict[str, Any]:
        self._host.close(request.session)
        return {}

    def _prompt(self, request: Request, _caller: Caller) -> dict[str, Any]:
        session = self._session(request)
        for prompt in request.fields["prompts"]:
            _regular(prompt.audio)
        prompts = session.set_prompts(request.fields["prompts"])
        return {"prompts": [_told(prompt) for prompt in prompts], "values": session.values()}

    def _set(self, request: Request, _caller: Caller) -> dict[str, Any]:
        return {"values": self._session(request).set(request.fields["values"])}

    def _reset(self, request: Request, _caller: Caller) -> dict[str, Any]:
        session = self._session(request)
        given = request.fields
        how = {name: given.get(name, False) for name in ("epoch", "at_bar")}
        return {"epoch": session.reset(given.get("seed"), **how)}

    def _preset(self, request: Request, _caller: Caller) -> dict[str, Any]:
        session = self._session(request)
        path = Path(_regular(request.fields["path"]) or "")
        preset = read(path)
        for prompt in preset.prompts:
            _regular(prompt.audio)
        session.load(preset, path.stem)
        return {"prompts": [_told(prompt) for prompt in session.prompts], "values": session.values()}

    def _notes(self, request: Request, _caller: Caller) -> dict[str, Any]:
        return {"held": sorted(self._session(request).play_notes(request.fields["messages"]))}

    def _transport(self, request: Request, _caller: Caller) -> dict[str, Any]:
        given = request.fields
        if given["beat"] >= given["beats_per_bar"]:
            raise ControlError(
                f"'beat' is {given['beat']:g} in a bar of {given['beats_per_bar']}: beats count from 0", "bad value"
            )
        self._session(request).set_transport(**given)
        return {}

    def _tap(self, request: Request, _caller: Caller) -> dict[str, Any]:
        return {"bpm": self._session(request).tap(**request.fields)}

    def _mark(self, request: Request, _caller: Caller) -> dict[str, Any]:
        self._session(request).mark(request.fields["text"], ahead=request.fields.get("ahead", False))
        return {}

    def _state_get(self, request: Request, _caller: Caller) -> dict[str, Any]:
        session = self._session(request)
        number, offset = request.fields.get("snapshot"), request.fields.get("offset", 0)
        if number is None:
            if offset:
                raise ControlError("'offset' is given without 'snapshot': begin at 0", "bad value")
            number = self._snapshots.take(session)
        return self._snapshots.part(session, number, offset)

    def _state_set(self, request: Request, caller: Caller) -> dict[str, Any]:
        session, given = self._session(request), request.fields
        if session.phase == "loading":
            raise ControlError(f"session {session.name!r}: its model is still loading; try again", "loading")
        if given["model_hash"] != session.model_hash:
            raise ControlError(
                f"'model_hash' is {given['model_hash']}: that state is of other weights than {session.model_name}'s, "
                f"{session.model_hash}",
                "bad value",
            )
        sender = request.client or caller.connection
        blob = self._uploads.add(session, sender, given["size"], given["offset"], given["data"])
        if blob is not None:
            session.restore_state(blob)
        return {"done": blob is not None}

    def _record(self, request: Request, _caller: Caller) -> dict[str, Any]:
        path = self._session(request).record(request.fields.get("path"))
        return {"path": None if path is None else str(path)}

    def _listen(self, request: Request, _caller: Caller) -> dict[str, Any]:
        path = self._session(request).listen(_regular(request.fields.get("path")))
        return {"path": None if path is None else str(path)}

    def _controllers(self, request: Request, _caller: Caller) -> dict[str, Any]:
        midi_map, given = self._host.midi_map, request.fields
        if len(given) == 1:
            raise ControlError("'parameter' and 'controller' come together: nil is no controller", "bad value")
        if given:
            midi_map.bind(given["parameter"], given["controller"])
        table = {name: controller.table() for name, controller in midi_map.now.items()}
        return {"controllers": table, "path": None if midi_map.path is None else str(midi_map.path)}

    def _status(self, request: Request, _caller: Caller) -> dict[str, Any]:
        return {"status": self._session(request).status()}


def _regular(path: str | None) -> str | None:
    """Return a path that may be opened: opening a pipe would wait for who writes into it, and with it all clients."""
    if path is not None and not stat.S_ISREG(os.stat(path).st_mode):
        raise ControlError(f"{path} is not a file", "bad file")
    return path


def _description(session: Session) -> dict[str, Any]:
    spec = session.spec
    return {
        "segment": str(session.segment_path),
        "model": session.model_name,
        "model_hash": session.model_hash,
        "spec": None if spec is None else {**asdict(spec), "controls": sorted(spec.controls)},
        "phase": session.phase,
        "values": session.values(),
        "prompts": [_told(prompt) for prompt in session.prompts],
        "seed": session.seed,
        "error": session.error_text,
    }


def _told(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as replies have it: enough to ask for it again without embedding it anew."""
    told: dict[str, Any] = {"name": prompt.name, "weight": prompt.weight}
    told |= {key: source for key, source in (("text", prompt.text), ("audio", prompt.audio)) if source is not None}
    if prompt.embedding is not None:
        told["embedding"] = np.ascontiguousarray(prompt.embedding, "<f4").tobytes()
    return told
