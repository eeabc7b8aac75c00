"""Speaks HTTP with the Hugging Face hub: the token, redirections, and what its refusals mean to a user.

The token goes to the endpoint alone, never along with a redirection to another host.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jackdaw import __version__

__all__ = ["Broken", "Client", "HubError", "home_folder", "read_block"]

_BLOCK = 1 << 18
_TIMEOUT_S = 30.0


class HubError(Exception):
    """A download failed; the text says why and what to do."""


class Broken(Exception):  # noqa: N818 - not an error yet: worth another try
    """The connection broke, or the hub is busy."""


def home_folder(variables: Mapping[str, str]) -> Path:
    """Return where the hub's tools keep their things."""
    cache = Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(variables.get("HF_HOME") or cache / "huggingface").expanduser()


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirections; the token stays with the host that it was meant for."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if following is not None and token is not None and urlsplit(newurl)[:2] == urlsplit(req.full_url)[:2]:
            following.add_unredirected_header("Authorization", token)
        return following


class Client:
    """Asks the hub about one repository.

    Parameters
    ----------
    repository
        ``owner/name``.
    variables
        HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_TOKEN_PATH mean what they mean to the hub's own tools.
    """

    def __init__(self, repository: str, variables: Mapping[str, str]) -> None:
        self.endpoint = (variables.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self._repository = repository
        token_file = Path(variables.get("HF_TOKEN_PATH") or home_folder(variables) / "token").expanduser()
        stored = token_file.read_text().strip() if token_file.is_file() else ""
        self._token = variables.get("HF_TOKEN", "").strip() or stored
        self._opener = urllib.request.build_opener(_SameHost)

    def open(self, url: str, begin: int = 0) -> Any:
        """Return the answer for a URL, from byte `begin` on, to be closed by the caller.

        Raises
        ------
        HubError
            If the hub refuses or can't be reached.
        Broken
            If it is worth another try.
        """
        request = urllib.request.Request(url, headers={"User-Agent": f"jackdaw/{__version__}"})
        if begin:
            request.add_header("Range", f"bytes={begin}-")
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            return self._opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(url, error.code) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionResetError | TimeoutError):
                raise Broken(str(error.reason)) from error
            raise HubError(
                f"{self.endpoint} can't be reached ({error.reason}): is there a network? Files that you have already "
                f"are taken with --from DIR"
            ) from error
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise Broken(str(error)) from error

    def _refusal(self, url: str, status: int) -> Exception:
        page = f"{self.endpoint}/{self._repository}"
        if status in {401, 403}:
            why = "the token isn't right for it" if self._token else "it wants a token"
            return HubError(
                f"{self.endpoint} refuses {self._repository} ({status}): {why}. Look at {page} whether it has "
                f"conditions to accept, and set HF_TOKEN to a token of yours ({self.endpoint}/settings/tokens)"
            )
        if status == 404:
            return HubError(f"{url} isn't there (404): is HF_ENDPOINT right, and does {page} still exist?")
        if status == 429 or status >= 500:
            return Broken(f"status {status}")
        return HubError(f"{url} answered with status {status}")


def read_block(reply: Any) -> bytes:
    """Return the next bytes of an answer; none at its end."""
    try:
        return bytes(reply.read(_BLOCK))
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise Broken(str(error)) from error
