import subprocess
import sys
import time
from pathlib import Path

from harness.record.atomic import read_json
from harness.record.layout import Store
from harness.record.registration import register, registered

RACE = """
import sys
from pathlib import Path
from harness.record.layout import Store
from harness.record.registration import register
print("ready", flush=True)
sys.stdin.readline()
print(register(Store(Path(sys.argv[1])), "claim", "tiny", sys.argv[2], {}).hash)
"""


def test_the_first_one_stays_in_force(tmp_path: Path) -> None:
    store, before = Store(tmp_path), time.time()
    assert registered(store, "claim", "tiny") is None
    first = register(store, "claim", "tiny", "hash-1", {"declaration": {"margin": 0.05}})
    assert before <= first.registered_at <= time.time()
    assert register(store, "claim", "tiny", "hash-2", {"declaration": {"margin": 0.01}}) == first
    assert registered(store, "claim", "tiny") == first
    (file,) = tmp_path.rglob("*.json")
    assert read_json(file)["declaration"] == {"margin": 0.05}


def test_claims_and_protocols_are_registered_each_for_itself(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for claim, protocol in (("claim", "tiny"), ("claim", "smoke"), ("other", "tiny")):
        register(store, claim, protocol, f"{claim} {protocol}", {})
    assert [
        found.hash
        for claim, protocol in (("claim", "tiny"), ("claim", "smoke"), ("other", "tiny"))
        if (found := registered(store, claim, protocol)) is not None
    ] == ["claim tiny", "claim smoke", "other tiny"]


def test_racing_commands_agree_on_what_is_in_force(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    racers = [
        subprocess.Popen([*command, f"hash-{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    told = {racer.communicate("\n")[0].strip() for racer in racers}
    in_force = registered(Store(tmp_path), "claim", "tiny")
    assert in_force is not None
    assert told == {in_force.hash}
