"""The plugin's table of parameters is the one that the engine's makes."""

import runpy
from pathlib import Path

_PLUGIN = Path(__file__).resolve().parents[2] / "plugin_stub"


def test_table_is_up_to_date():
    table = runpy.run_path(str(_PLUGIN / "generate_parameters.py"))["table"]
    assert (_PLUGIN / "source" / "Parameters.inc").read_text() == table()


def test_hosts_see_them_all(room):
    place = room("beep")
    place.environment["JACKDAW"] = "/nowhere/jackdaw"
    values = place.call("state")["values"]
    assert len(values) == 28
    assert values["temperature"] == "1.00"
    assert values["volume_db"] == "0.0"
