"""What was saved comes back, byte for byte; with the engine away too; a newer version's state changes nothing."""

from xml.etree import ElementTree

from studio import wait_until

FULL = (
    '<?xml version="1.0" encoding="UTF-8"?> <jackdaw version="1" model="beep-echo" seed="42"><values weight_1="0.250" '
    'temperature="1.300" top_k="77.000" volume="-7.350"/><prompt slot="2" text="bossa nova"/>'
    '<prompt slot="5" text="&quot;fünk&quot;"/></jackdaw>'
)


def test_parameters_and_prompts_survive(room):
    told = room("beep").call("state", xml=FULL)
    assert told["equal"], told
    assert told["xml"] == told["again"]
    root = ElementTree.fromstring(told["xml"])
    assert root.attrib == {"version": "1", "model": "beep-echo", "seed": "42"}
    values = root.find("values").attrib
    assert (values["weight_1"], values["temperature"], values["top_k"], values["volume"]) == (
        "0.250",
        "1.300",
        "77.000",
        "-7.350",
    )
    prompts = {child.get("slot"): child for child in root.findall("prompt")}
    assert {slot: child.get("text") for slot, child in prompts.items()} == {"2": "bossa nova", "5": '"fünk"'}
    # the engine has filled in what it made of the words
    assert all(child.get("embedding") for child in prompts.values())


def test_the_engine_is_told(room):
    place = room("beep")
    host = place.begin("stay", seconds=60.0, xml=FULL)

    def told_all():
        ready = [one for one in place.sessions() if one["model"] == "beep-echo" and one["phase"] == "ready"]
        told = place.ask("attach", ready[0]["session"]) if ready else {"prompts": []}
        return told if len(told["prompts"]) == 2 else None

    told = wait_until("the prompts", told_all)
    assert told["seed"] == 42
    assert told["values"]["top_k"] == 77
    assert [prompt["name"] for prompt in told["prompts"]] == ["bossa nova", '"fünk"']
    host.kill()


def test_without_an_engine(room):
    place = room("beep")
    place.environment["JACKDAW"] = "/nowhere/jackdaw"
    told = place.call("state", xml=FULL)
    assert told["equal"], told
    assert 'text="bossa nova"' in told["xml"]
    assert "embedding" not in told["xml"]


def test_older_states_load_and_newer_ones_change_nothing(room):
    place = room("beep")
    place.environment["JACKDAW"] = "/nowhere/jackdaw"
    old = place.call("state", xml='<jackdaw model="beep"><prompt slot="1" text="dub"/></jackdaw>')
    assert 'text="dub"' in old["xml"]
    assert old["values"]["top_k"] == "50"
    fresh = place.call("state")
    newer = place.call("state", xml=FULL.replace('version="1" model', 'version="99" model'))
    assert newer["xml"] == fresh["xml"]
    broken = place.call("state", xml="<other/>")
    assert broken["xml"] == fresh["xml"]


def test_values_are_stable_over_the_whole_range(room):
    place = room("beep")
    place.environment["JACKDAW"] = "/nowhere/jackdaw"
    for values in (
        {
            "weight_3": 0.123,
            "temperature": 3.999,
            "top_k": 1023,
            "guidance": 0.001,
            "input_gain_db": -59.99,
            "mix": 33.33,
        },
        {"weight_3": 0.999, "temperature": 0.001, "top_k": 2, "guidance": 9.999, "volume_db": 11.99, "mute": True},
    ):
        assert place.call("state", parameters=values)["equal"]


def test_dawdreamer_recalls_it_to_the_bit(room):
    values = {"Temperature": 0.375, "Weight 2": 0.25, "Mix": 0.5}
    told = room("beep").call("dream_state", values=values)
    assert told["equal"]
    assert told["bytes"] > 100
    for name, value in values.items():
        assert abs(told["values"][name] - value) < 0.01, told
