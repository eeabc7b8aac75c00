"""A segment is checked before it is trusted, held by one engine and one client, and survives the death of either."""

import os
import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from signals import ramp

from jackdaw.dsp import (
    Client,
    SegmentBusy,
    SegmentError,
    SegmentInvalid,
    SegmentReader,
    SegmentWriter,
    ffi,
    lib,
    segment_path,
)


def _left_behind(session: str) -> Path:
    """A valid segment that nobody holds, as after kill -9."""
    writer = SegmentWriter.open(session)
    path = segment_path(session)
    spare = path.with_name(f"{path.name}.new-spare")
    os.link(path, spare)
    writer.close()  # the last one out removes the name
    os.rename(spare, path)
    return path


def _poke(path: Path, field: str, value: int) -> None:
    descriptor = dict(ffi.typeof("jd_header").fields)[field]
    size = ffi.sizeof(descriptor.type)
    with path.open("r+b") as file:
        file.seek(descriptor.offset)
        file.write(value.to_bytes(size, "little"))


def _engine(session: str) -> subprocess.Popen[str]:
    """A process that holds the writer's side until it is killed."""
    code = (
        "import sys, time, numpy as np; from jackdaw.dsp import SegmentWriter\n"
        f"w = SegmentWriter.open({session!r}); w.publish(target=9600, ring_rate=48000)\n"
        "w.write(np.full((30000, 2), 0.5, np.float32)); print(w.writer_instance, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("magic", 0),
        ("magic", 0x315741444B43414B),
        ("abi_version", 0),
        ("abi_version", 1),
        ("header_bytes", 0),
        ("header_bytes", 4096),
        ("total_bytes", 0),
        ("total_bytes", 2**63),
        ("channels", 0),
        ("channels", 3),
        ("channels", 2**31),
        ("capacity", 0),
        ("capacity", 262143),
        ("capacity", 2**31),
        ("capacity", 524288),
        ("output_offset", 0),
        ("output_offset", 2**64 - 4096),
        ("input_offset", 4096),
        ("midi_offset", 2**40),
    ],
)
def test_a_bent_header_is_refused_and_replaced_by_the_engine(session: str, field: str, value: int) -> None:
    path = _left_behind(session)
    _poke(path, field, value)
    before = path.read_bytes()[:4096]
    with pytest.raises(SegmentInvalid, match=r"restart|remove"):
        SegmentReader.attach(session)
    assert path.read_bytes()[:4096] == before
    with SegmentWriter.open(session), SegmentReader.attach(session) as reader:
        assert reader.capacity == 262144


@pytest.mark.parametrize("size", [0, 1, 63, 1000, 1024, 4096, 100_000, -1, -4096])
def test_a_torn_file_is_refused(session: str, size: int) -> None:
    path = _left_behind(session)
    whole = path.stat().st_size
    os.truncate(path, size if size > 1 else max(0, whole + size) if size < 0 else size)
    with pytest.raises(SegmentInvalid):
        SegmentReader.attach(session)
    with SegmentWriter.open(session) as writer:
        assert path.stat().st_size == whole
        writer.write(ramp(0, 1000))


def test_trailing_bytes_are_refused(session: str) -> None:
    path = _left_behind(session)
    os.truncate(path, path.stat().st_size + 4096)
    with pytest.raises(SegmentInvalid, match="truncated or has trailing bytes"):
        SegmentReader.attach(session)


def test_a_random_file_of_the_right_size_is_refused(session: str) -> None:
    path = _left_behind(session)
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))
    with pytest.raises(SegmentInvalid, match="not a session segment"):
        SegmentReader.attach(session)


def test_random_bytes_anywhere_in_the_identity_are_never_half_believed(session: str) -> None:
    path = _left_behind(session)
    good = path.read_bytes()[:56]
    rng = np.random.default_rng(3)
    for _ in range(300):
        bent = bytearray(good)
        at = int(rng.integers(56))
        bent[at] ^= int(rng.integers(1, 256))
        with path.open("r+b") as file:
            file.write(bent)
        with pytest.raises(SegmentInvalid):
            SegmentReader.attach(session)


def test_a_symbolic_link_is_refused_and_its_target_left_alone(session: str, tmp_path: Path) -> None:
    path = _left_behind(session)
    target = tmp_path / "target"
    os.link(path, path.with_name(f"{path.name}.new-copy"))
    path.unlink()
    target.write_bytes(b"precious")
    path.symlink_to(target)
    with pytest.raises(SegmentInvalid, match="not a regular file"):
        SegmentReader.attach(session)
    with SegmentWriter.open(session):
        assert not path.is_symlink()
    assert target.read_bytes() == b"precious"


def test_a_folder_and_a_pipe_are_refused(session: str) -> None:
    path = segment_path(session)
    path.mkdir()
    for open_one in (SegmentReader.attach, SegmentWriter.open):
        with pytest.raises(SegmentInvalid, match="not a regular file"):
            open_one(session)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(SegmentInvalid, match="not a regular file"):
        SegmentReader.attach(session)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o666, 0o606, 0o4600])
def test_a_file_that_others_may_touch_is_refused(session: str, mode: int) -> None:
    path = _left_behind(session)
    path.chmod(mode)
    with pytest.raises(SegmentInvalid, match="0600"):
        SegmentReader.attach(session)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away; the check itself is one comparison")
def test_a_file_of_another_user_is_refused_by_both_sides(session: str) -> None:
    path = _left_behind(session)
    os.chown(path, 12345, -1)
    for open_one in (SegmentReader.attach, SegmentWriter.open):
        with pytest.raises(SegmentInvalid, match="another user"):
            open_one(session)
    assert path.stat().st_uid == 12345


def test_a_new_segment_is_private_whatever_the_umask(session: str) -> None:
    for mask in (0, 0o777):
        before = os.umask(mask)
        try:
            with SegmentWriter.open(session):
                assert stat.S_IMODE(segment_path(session).stat().st_mode) == 0o600
        finally:
            os.umask(before)


def test_there_is_one_engine_and_one_client(session: str) -> None:
    with SegmentWriter.open(session) as writer, SegmentReader.attach(session) as reader:
        with pytest.raises(SegmentBusy, match="living process"):
            SegmentWriter.open(session)
        with pytest.raises(SegmentBusy, match="living process"):
            SegmentReader.attach(session)
        assert writer.reader_alive
        assert reader.writer_alive


def test_an_invalid_file_that_is_in_use_is_not_replaced(session: str) -> None:
    with SegmentWriter.open(session):
        path = segment_path(session)
        _poke(path, "abi_version", 99)
        inode = path.stat().st_ino
        with pytest.raises(SegmentBusy):
            SegmentWriter.open(session)
        assert path.stat().st_ino == inode


def test_a_missing_engine_is_named(session: str) -> None:
    with pytest.raises(SegmentError, match="start the engine first"):
        SegmentReader.attach(session)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "x" * 65, "nul\0", "ü"])
def test_names_stay_in_their_folder(name: str) -> None:
    with pytest.raises(SegmentError, match="session name"):
        SegmentWriter.open(name)


@pytest.mark.parametrize(("channels", "capacity"), [(0, 4096), (3, 4096), (2, 2048), (2, 4097), (2, 2**25), (-1, 4096)])
def test_sizes_are_bounded(session: str, channels: int, capacity: int) -> None:
    with pytest.raises(SegmentError, match="out of range"):
        SegmentWriter.open(session, channels=channels, capacity=capacity)
    assert not segment_path(session).exists()


def test_the_last_one_out_removes_the_file_and_no_temporary_stays(session: str) -> None:
    path = segment_path(session)
    writer = SegmentWriter.open(session)
    reader = SegmentReader.attach(session)
    writer.close()
    assert path.exists()
    reader.close()
    assert not path.exists()
    assert not list(path.parent.glob(f"{path.name}*"))


def test_a_killed_engine_is_noticed_and_its_segment_taken_over(session: str) -> None:
    process = _engine(session)
    with SegmentReader.attach(session) as reader:
        reader.set_reader(48000, 128)
        reader.arm(True)
        assert reader.renderer.render(None, 1024)[300:].any()
        assert reader.writer_alive
        assert reader.writer_pid == process.pid
        epoch, instance = reader.epoch, reader.writer_instance
        _kill(process)
        assert not reader.writer_alive
        with SegmentWriter.open(session) as writer:
            assert not reader.replaced()
            assert reader.writer_alive
            assert reader.epoch == epoch + 1
            assert reader.writer_instance != instance
            assert reader.ring_rate == 0
            writer.publish(target=9600, ring_rate=48000)
            writer.write(ramp(0, 20_000))
            heard = reader.renderer.render(None, 8000)
            assert np.array_equal(heard[240:], ramp(240, 7760))  # not a frame of what the dead one left


def test_a_killed_engine_alone_leaves_a_file_that_the_next_takes_over(session: str) -> None:
    _kill(_engine(session))
    inode = segment_path(session).stat().st_ino
    with SegmentWriter.open(session) as writer:
        assert segment_path(session).stat().st_ino == inode
        assert writer.epoch == 2


def test_a_killed_client_leaves_an_engine_that_another_client_finds(session: str) -> None:
    with SegmentWriter.open(session) as writer:
        writer.publish(target=9600, ring_rate=48000)
        writer.write(ramp(0, 30_000))
        code = (
            "import time; from jackdaw.dsp import SegmentReader\n"
            f"r = SegmentReader.attach({session!r}); r.set_reader(48000, 128); r.arm(True)\n"
            "r.renderer.render(None, 8000); print(1, flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        assert writer.reader_alive
        assert writer.out_read == 8000
        _kill(process)
        assert not writer.reader_alive
        with SegmentReader.attach(session) as reader:
            reader.set_reader(48000, 128)
            reader.arm(True)
            heard = reader.renderer.render(None, 8000)
            assert np.array_equal(heard[240:], ramp(8240, 7760))


def test_another_shape_replaces_the_file_and_the_old_mapping_stays_valid(session: str) -> None:
    first = SegmentWriter.open(session)
    client = Client()
    reader = SegmentReader.attach(session, client)
    first.close()
    with SegmentWriter.open(session, capacity=8192) as second:
        assert reader.replaced()
        assert reader.capacity == 262144
        client.render(None, 1000)
        with SegmentReader.attach(session, client) as again:
            reader.close()
            assert not again.replaced()
            assert again.capacity == 8192
            assert second.reader_alive
    client.close()


@pytest.mark.parametrize("seed", range(8))
def test_cursors_that_make_no_sense_never_crash_and_are_counted(session: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = dict(ffi.typeof("jd_header").fields)
    counted = {layout[name].offset for name in ("reader_resyncs", "writer_resyncs")}
    offsets = [at for at in range(64, layout["histogram"].offset, 8) if at not in counted]
    with SegmentWriter.open(session) as writer, SegmentReader.attach(session) as reader:
        reader.set_reader(48000, 128)
        reader.arm(True)
        writer.publish(target=9600, limit=20000, ring_rate=48000)
        header = lib.jd_segment_header(writer.handle)
        memory = ffi.buffer(header)
        for _ in range(2000):
            at = offsets[int(rng.integers(len(offsets)))]
            (before,) = struct.unpack_from("<Q", memory, at)
            choices = [0, 1, 2**63, 2**64 - 1, before ^ (1 << int(rng.integers(64)))]
            struct.pack_into("<Q", memory, at, choices[int(rng.integers(len(choices)))])
            size = int(rng.integers(1, 3000))
            heard = reader.renderer.render(np.ones((size, 2), np.float32), size)
            assert np.isfinite(heard).all()
            if writer.space >= size:
                writer.write(ramp(0, size))
            writer.read_input(min(writer.in_available, 5000))
            writer.skip_input(writer.in_available)
            writer.read_midi()
            _ = writer.counters, writer.transport, writer.anchor
        assert writer.counters.reader_resyncs > 0
        assert writer.counters.writer_resyncs > 0
        # healed: both sides go on from here
        writer.publish(target=9600, limit=0, ring_rate=48000, stopping=False)
        for _ in range(3):
            _ = writer.fill
            reader.renderer.render(None, 1)
        writer.reset()
        reader.renderer.render(None, 1000)
        writer.write(ramp(0, 20_000))
        heard = reader.renderer.render(None, 8000)
        assert np.array_equal(heard[240:], ramp(240, 7760))


def test_the_identity_in_the_file_is_what_this_header_says(session: str) -> None:
    with SegmentWriter.open(session):
        magic, abi, size = struct.unpack("<QII", segment_path(session).read_bytes()[:16])
    assert magic.to_bytes(8, "little") == b"JACKDAW1"
    assert (abi, size) == (lib.JD_ABI_VERSION, ffi.sizeof("jd_header"))
