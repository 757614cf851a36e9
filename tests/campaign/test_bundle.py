"""A bundle is a project from which the verdict comes out again, without weights and without the machine's name."""

import socket
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.campaign.adopted import adopt_table, verdict_on_table
from harness.campaign.bench import Bench
from harness.campaign.beside import beside
from harness.campaign.bundle import bundle
from harness.campaign.verdicts import verdict_on
from harness.record.adopted import adopted
from harness.record.layout import Store
from harness.record.verdict import Outcome, Verdict
from harness.spec import DeclarationError
from harness.spec.shelf import find_shelf

if TYPE_CHECKING:
    from tests.conftest import Made


def decided(bench: Bench) -> Verdict:
    return verdict_on(bench, "live", bench.hypotheses(["live"])["live"], bench.planned_bases(()))


def packed(made: "Made", at: Path) -> tuple[Path, list[str]]:
    bench = made.bench()
    out = at / "live.tar.gz"
    bundle(bench, "live", bench.hypotheses(["live"])["live"], bench.planned_bases(()), (), out)
    with tarfile.open(out) as tar:
        names = tar.getnames()
        tar.extractall(at / "unpacked", filter="data")
    return at / "unpacked" / "live-bench", names


def test_it_is_decided_again_to_the_byte(made: "Made", tmp_path: Path) -> None:
    made.bench().register_shelf()
    made.results(lambda run: 0.5 + run.index / 1000)
    first = decided(made.bench())
    assert (first.outcome, first.registered.confirmatory) == (Outcome.SUPPORTED, True)
    root, _ = packed(made, tmp_path)
    again = decided(Bench(find_shelf(root), Store(root / ".harness"), "bench"))
    assert again == first
    assert Verdict.model_validate_json((root / "verdict-llama.json").read_text()) == first


def test_weights_logs_and_the_machine_stay_behind(made: "Made", tmp_path: Path) -> None:
    made.bench().register_shelf()
    bench = made.bench()
    runs = bench.plan(bench.hypotheses(["live"]), ["llama"])
    made.base(runs.bases[0])
    for run in runs.runs:
        made.run(run, 0.5 + run.index / 1000, weights=b"weights of a secret model")
    for attempt in made.store.runs.glob("*/attempts/*"):
        (attempt / "log.txt").write_text("a log")
    first = decided(made.bench())
    root, names = packed(made, tmp_path)
    assert not [name for name in names if name.endswith((".safetensors", "log.txt", "lock"))]
    said = b"".join(file.read_bytes() for file in root.rglob("*") if file.is_file())
    assert socket.gethostname().encode() not in said
    assert decided(Bench(find_shelf(root), Store(root / ".harness"), "bench")) == first


def test_runs_older_than_their_registration_are_so_in_the_bundle_too(made: "Made", tmp_path: Path) -> None:
    import os

    made.bench().register_shelf()
    made.results(lambda run: 0.5 + run.index / 1000)
    for claim in made.store.runs.glob("*/attempts/0001/claim.json"):
        os.utime(claim, (1, 1))
    first = decided(made.bench())
    assert first.registered.deviations == ("12 runs are older than the registration",)
    root, _ = packed(made, tmp_path)
    assert decided(Bench(find_shelf(root), Store(root / ".harness"), "bench")) == first


def test_without_a_verdict_there_is_nothing_to_pack(made: "Made", tmp_path: Path) -> None:
    made.results(lambda run: 0.5)
    with pytest.raises(DeclarationError, match="no verdict on llama is stored"):
        packed(made, tmp_path)
    assert list(tmp_path.glob("*.gz*")) == []


def test_a_tables_verdict_is_decided_again_too(made: "Made", tmp_path: Path) -> None:
    bench = made.bench()
    bench.register_shelf()
    lines = [f"{rank},{seed},{0.5 + seed / 1000},500,0.4" for rank in (8, 16) for seed in range(6)]
    file = made.root / "elsewhere.csv"
    file.write_text("\n".join(["rank,seed,accuracy,n_items,base_accuracy", *lines]) + "\n")
    claim = bench.hypotheses(["live"])["live"]
    adopt_table(bench, "live", claim, file, None)
    table = adopted(made.store, "elsewhere")
    assert table is not None
    first = verdict_on_table(bench, "live", claim, table)
    out = tmp_path / "live.tar.gz"
    bundle(bench, "live", claim, (), [table], out)
    with tarfile.open(out) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    root = tmp_path / "unpacked" / "live-bench"
    assert "harness test live --models elsewhere --no-run" in (root / "README.txt").read_text()
    there = adopted(Store(root / ".harness"), "elsewhere")
    assert there is not None
    assert verdict_on_table(Bench(find_shelf(root), Store(root / ".harness"), "bench"), "live", claim, there) == first


def test_rivals_travel_with_the_claim_so_that_what_stands_is_the_same(made: "Made", tmp_path: Path) -> None:
    rival = made.claim_text.replace("rank: [8, 16]", "rank: [32]")
    made.declare("hypotheses/other.yaml", rival + "rivals: [{hypothesis: third, explains: a third cause}]\n")
    made.declare("hypotheses/third.yaml", made.claim_text.replace("rank: [8, 16]", "rank: [64]"))
    explains = "rivals: [{hypothesis: other, explains: another cause}]\n"
    made.declare("hypotheses/live.yaml", made.claim_text + explains)
    bench = made.bench()
    bench.register_shelf()
    made.results(lambda run: 0.5 + run.index / 1000, "live", "other")
    for name in ("live", "other"):
        verdict_on(bench, name, bench.hypotheses([name])[name], bench.planned_bases(()))
    root, _ = packed(made, tmp_path)
    assert {path.stem for path in (root / "hypotheses").iterdir()} == {"live", "other", "third"}
    unpacked = Bench(find_shelf(root), Store(root / ".harness"), "bench")
    again = [
        verdict_on(unpacked, name, unpacked.hypotheses([name])[name], unpacked.planned_bases(()))
        for name in ("live", "other")
    ]
    assert [verdict.outcome for verdict in again] == [Outcome.SUPPORTED] * 2
    stands = beside(unpacked, again[0], again).stands
    assert stands and stands == beside(bench, again[0], again).stands
    assert (root / "verdict-other-llama.json").is_file()
