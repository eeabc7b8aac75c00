"""A download is whole and its checksum right, or it is not there; it goes on where it broke, and says what is wrong."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import COMMIT, FakeHub, serving
from players import wait_for

from jackdaw.engine.weights.hub import Hub, HubError

REPOSITORY = "google/magenta-realtime-2"
BIG, SMALL = "checkpoints/big.safetensors", "resources/a word.model"
CONTENT = {name: np.random.default_rng(7).bytes(size) for name, size in ((BIG, 3_000_000), (SMALL, 1000))}


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    with serving(FakeHub(dict(CONTENT), plain={SMALL})) as hub:
        yield hub


def client(fake: FakeHub, home: Path, **variables: str) -> Hub:
    return Hub(REPOSITORY, {"HF_ENDPOINT": fake.url, "HF_HOME": str(home), **variables}, pause_s=0.001)


def fetched(hub: Hub, name: str = BIG) -> Path:
    return hub.fetch(hub.listing((name,)), name)


def whole(home: Path) -> list[str]:
    """Return the files that others would take for whole."""
    found = [path for path in (home / "hub").rglob("*") if path.is_file() and ".locks" not in path.parts]
    return sorted(str(path.relative_to(home)) for path in found if path.suffix != ".incomplete")


def parts(home: Path) -> list[Path]:
    return sorted((home / "hub").rglob("*.incomplete"))


def test_a_file_is_fetched_into_the_cache_that_others_share(fake: FakeHub, tmp_path: Path) -> None:
    hub, told = client(fake, tmp_path), []
    listing = hub.listing((BIG, SMALL))
    for name in (BIG, SMALL):
        path = hub.fetch(listing, name, told.append)
        assert path.read_bytes() == CONTENT[name]
        folder = tmp_path / "hub" / "models--google--magenta-realtime-2"
        assert path == folder / "snapshots" / COMMIT / name
        assert path.resolve() == (folder / "blobs" / fake.digest(name)).resolve()
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert not parts(tmp_path)
    assert told[-1] == len(CONTENT[SMALL])
    assert len(CONTENT[BIG]) in told


def test_what_is_there_is_not_fetched_again(fake: FakeHub, tmp_path: Path) -> None:
    hub = client(fake, tmp_path)
    fetched(hub)
    fake.asked.clear()
    listing = hub.listing((BIG,))
    assert hub.left(listing.files[BIG]) == 0
    assert hub.fetch(listing, BIG).read_bytes() == CONTENT[BIG]
    assert fake.downloads() == []


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "XDG_CACHE_HOME"])
def test_the_cache_is_where_the_hubs_own_tools_have_it(fake: FakeHub, tmp_path: Path, variable: str) -> None:
    hub = Hub(REPOSITORY, {"HF_ENDPOINT": fake.url, variable: str(tmp_path)})
    assert hub.cache == (tmp_path if variable == "HF_HUB_CACHE" else tmp_path / "huggingface" / "hub")


def test_a_broken_download_goes_on_by_itself(fake: FakeHub, tmp_path: Path) -> None:
    fake.breaks = [1_000_000, 500_000]
    assert fetched(client(fake, tmp_path)).read_bytes() == CONTENT[BIG]
    assert [part for _, part in fake.downloads()] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_download_that_stays_broken_goes_on_at_the_next_call(fake: FakeHub, tmp_path: Path) -> None:
    fake.breaks = [1_000_000] + [0] * 4
    with pytest.raises(HubError, match=r"broke at 1000000 of 3000000 bytes .* run the same command again"):
        fetched(client(fake, tmp_path))
    assert whole(tmp_path) == []
    assert [part.stat().st_size for part in parts(tmp_path)] == [1_000_000]
    fake.asked.clear()
    assert fetched(client(fake, tmp_path)).read_bytes() == CONTENT[BIG]
    assert [part for _, part in fake.downloads()] == ["bytes=1000000-"]


def test_a_hub_without_ranges_sends_it_all_again(fake: FakeHub, tmp_path: Path) -> None:
    fake.breaks, fake.ranges = [1_000_000], False
    assert fetched(client(fake, tmp_path)).read_bytes() == CONTENT[BIG]


@pytest.mark.parametrize("name", [BIG, SMALL])
def test_a_wrong_checksum_leaves_nothing(fake: FakeHub, tmp_path: Path, name: str) -> None:
    fake.damaged = {name}
    with pytest.raises(HubError, match=r"arrived damaged .* removed: download it again"):
        fetched(client(fake, tmp_path), name)
    assert whole(tmp_path) == []
    assert parts(tmp_path) == []


def test_a_damaged_part_is_found_out(fake: FakeHub, tmp_path: Path) -> None:
    hub = client(fake, tmp_path)
    part = hub.folder / "blobs" / f"{fake.digest(BIG)}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))
    with pytest.raises(HubError, match="arrived damaged"):
        fetched(hub)
    assert fetched(hub).read_bytes() == CONTENT[BIG]


def test_a_busy_hub_is_asked_again(fake: FakeHub, tmp_path: Path) -> None:
    fake.failures = 2
    assert fetched(client(fake, tmp_path)).read_bytes() == CONTENT[BIG]
    fake.failures = 99
    with pytest.raises(HubError, match=r"doesn't answer .*status 503.*try again later"):
        client(fake, tmp_path).listing((BIG,))


def test_without_a_token_where_one_is_wanted(fake: FakeHub, tmp_path: Path) -> None:
    fake.token = "hf_right"
    with pytest.raises(HubError, match=r"\(401\): it wants a token\. .* set HF_TOKEN"):
        client(fake, tmp_path).listing((BIG,))
    with pytest.raises(HubError, match=r"\(401\): the token isn't right"):
        client(fake, tmp_path, HF_TOKEN="hf_wrong").listing((BIG,))
    assert fetched(client(fake, tmp_path, HF_TOKEN="hf_right")).read_bytes() == CONTENT[BIG]
    (tmp_path / "token").write_text("hf_right\n")
    assert client(fake, tmp_path).listing((BIG,)).commit == COMMIT


def test_the_token_goes_to_the_hub_alone(fake: FakeHub, tmp_path: Path) -> None:
    with serving(FakeHub(dict(CONTENT))) as elsewhere:
        fake.token, fake.redirect, fake.breaks = "hf_right", elsewhere.url, []
        elsewhere.breaks = [1_000_000]
        assert fetched(client(fake, tmp_path, HF_TOKEN="hf_right")).read_bytes() == CONTENT[BIG]
    assert {token for _, _, token in fake.asked} == {"Bearer hf_right"}
    assert [(part, token) for _, part, token in elsewhere.asked] == [(None, None), ("bytes=1000000-", None)]


def test_without_a_network(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(HubError, match=r"can't be reached \(.*\): is there a network\? .* --from DIR"):
        Hub(REPOSITORY, {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path)}).listing((BIG,))


def test_offline_by_wish(fake: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        client(fake, tmp_path, HF_HUB_OFFLINE="1").listing((BIG,))
    assert fake.asked == []


def test_a_file_that_the_hub_has_no_more(fake: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"has no none\.safetensors any more"):
        client(fake, tmp_path).listing((BIG, "none.safetensors"))


def test_an_endpoint_that_is_no_hub(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (b"<html>", b"[]", b"{}", b'{"sha": "../..", "siblings": []}'):
        monkeypatch.setattr(fake, "listing", lambda answer=answer: answer)
        with pytest.raises(HubError, match="is HF_ENDPOINT right"):
            client(fake, tmp_path).listing(())


def test_room_is_looked_for_first(fake: FakeHub, tmp_path: Path) -> None:
    fake.sizes = {BIG: 10**16}
    hub = client(fake, tmp_path)
    with pytest.raises(HubError, match=r"free, the files need 10000000\.0: make room, or set HF_HUB_CACHE"):
        hub.check_space(hub.listing((BIG,)))


def test_two_downloads_of_a_file_do_not_meet(fake: FakeHub, tmp_path: Path) -> None:
    fake.hold, fake.hold_at = threading.Event(), 1000
    first = threading.Thread(target=fetched, args=(client(fake, tmp_path),))
    first.start()
    wait_for(lambda: bool(fake.downloads()))
    with pytest.raises(HubError, match="another program downloads"):
        fetched(client(fake, tmp_path))
    fake.hold.set()
    first.join()
    assert fetched(client(fake, tmp_path)).read_bytes() == CONTENT[BIG]


SCRIPT = f"""
import resource, sys
from jackdaw.engine.weights.hub import Hub
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
hub = Hub({REPOSITORY!r})
hub.fetch(hub.listing(({BIG!r},)), {BIG!r})
"""


def process(fake: FakeHub, home: Path, limit: int = 1 << 30) -> "subprocess.Popen[str]":
    """Download in another process, which can't write files longer than `limit`, as on a full disk."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(limit)],
        env={**os.environ, "HF_ENDPOINT": fake.url, "HF_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_is_told_and_given_back(fake: FakeHub, tmp_path: Path) -> None:
    with process(fake, tmp_path, limit=1_000_000) as child:
        _, said = child.communicate()
    assert child.returncode == 1
    assert "no room for checkpoints/big.safetensors" in said
    assert "make room, or set HF_HUB_CACHE" in said.replace("\n", " ")
    assert whole(tmp_path) == []
    assert parts(tmp_path) == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_goes_on(fake: FakeHub, tmp_path: Path, end: signal.Signals) -> None:
    fake.hold, fake.hold_at = threading.Event(), 1_500_000
    with process(fake, tmp_path) as child:
        wait_for(lambda: any(part.stat().st_size > 1_000_000 for part in parts(tmp_path)))
        child.send_signal(end)
        child.communicate()
    assert child.returncode not in {0, 1}
    assert whole(tmp_path) == []
    fake.hold.set()
    fake.asked.clear()
    assert fetched(client(fake, tmp_path)).read_bytes() == CONTENT[BIG]
    assert fake.downloads()[0][1] is not None
    assert hashlib.sha256(CONTENT[BIG]).hexdigest() == fake.digest(BIG)
