"""The LV2 is valid and plays in jalv; the standalone program plays on JACK and shows its window."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from hosts import VST3, juce_text, state_blob
from rooms import LV2_URI
from studio import wait_until

from jackdaw.bridge.server import PrivateServer

_LV2 = VST3.parents[1] / "LV2" / "Jackdaw.lv2"
_STANDALONE = VST3.parents[1] / "Standalone" / "Jackdaw"
_PICTURE = Path(__file__).resolve().parents[2] / "build" / "plugin" / "plugin.png"


def _run(room, *command):
    return subprocess.run(command, env=room.environment, capture_output=True, text=True, check=False, timeout=60)


def test_lv2_is_valid(room):
    place = room("beep")
    files = sorted(str(path) for path in _LV2.glob("*.ttl"))
    result = _run(place, "lv2_validate", *files)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "error" not in (result.stdout + result.stderr).lower().replace("found 0 errors", "")
    told = _run(place, "lv2info", LV2_URI)
    assert told.returncode == 0, told.stderr
    assert "Jackdaw" in told.stdout
    assert "error" not in told.stderr.lower()


def test_no_symbols_but_the_entry_points(room):
    for library, most in ((VST3 / "Contents/x86_64-linux/Jackdaw.so", 4), (_LV2 / "libJackdaw.so", 4)):
        names = _run(room("beep"), "nm", "-D", "--defined-only", str(library)).stdout.split("\n")
        ours = [name for name in names if name and name.split()[1] not in "WVu"]  # the rest is the C++ library's
        assert 1 <= len(ours) <= most, ours


def test_jalv_plays_and_unloads_while_playing(room):
    place = room("beep")
    with PrivateServer(48000, 256, f"plug-{os.getpid()}", driver="dummy") as server:
        place.environment["JACK_DEFAULT_SERVER"] = server.name
        host = place.jalv("jackdaw-test")
        look = place.observe(place.ready())
        wait_until("music", lambda: look.hold_out[0] > 0.01, 60)
        blocks, begun = look.blocks, time.monotonic()
        time.sleep(10.0)
        assert host.alive, host.log.read_text()
        assert look.blocks - blocks > 0.8 * (time.monotonic() - begun) * 48000 / 256
        look.close()
        assert host.stop() == 0
        wait_until("no session", lambda: not place.sessions(), 5)


def test_standalone_plays_and_looks_as_it_should(room):
    place = room("beep")
    display = f":{100 + os.getpid() % 400}"
    state = (
        '<?xml version="1.0" encoding="UTF-8"?> <jackdaw version="1" model="beep" seed="7"><values weight_2="0.600" '
        'weight_3="0.250" temperature="1.100" guidance="2.000" mix="80.000"/><prompt slot="1" text="disco funk"/>'
        '<prompt slot="2" text="bossa nova, nylon guitar"/><prompt slot="3" text="slow blues"/></jackdaw>'
    )
    settings = place.folder / ".config" / "Jackdaw.settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<PROPERTIES>\n'
        f'<VALUE name="filterState" val="{juce_text(state_blob(state))}"/>\n'
        '<VALUE name="shouldMuteInput" val="0"/>\n'
        '<VALUE name="audioSetup"><DEVICESETUP deviceType="JACK" audioOutputDeviceName="system" '
        'audioInputDeviceName="system"/></VALUE>\n</PROPERTIES>\n'
    )
    screen = place.start("Xvfb", display, "-screen", "0", "940x620x24", name="xvfb")
    wait_until("the screen", Path(f"/tmp/.X11-unix/X{display[1:]}").exists, 20)
    shot = f"sleep 6; import -window root {place.folder}/plugin.png"
    with PrivateServer(48000, 256, f"plug-{os.getpid()}", driver="dummy") as server:
        place.environment.update(JACK_DEFAULT_SERVER=server.name, DISPLAY=display)
        host = place.start(str(_STANDALONE), name="standalone")
        look = place.observe(place.ready())
        wait_until("music", lambda: look.hold_out[0] > 0.01, 60)
        subprocess.run(["sh", "-c", shot], env=place.environment, check=True, timeout=60)
        alive = host.alive
        look.close()
        host.stop()
    screen.stop()
    assert alive
    from PIL import Image

    image = np.asarray(Image.open(place.folder / "plugin.png").convert("RGB"))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 200
    _PICTURE.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(place.folder / "plugin.png", _PICTURE)
