"""Every subcommand of the bench measures something, at the smallest size; the figures themselves are not judged here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from wasess.sandbox.faults import parse_fault, strikes

ROOT = Path(__file__).parent.parent
SMALLEST = {
    "blackhole": ("--sessions", "2"),
    "fleet": ("--sessions", "3", "--away", "2"),
    "help": ("--runs", "1"),
    "hostile": ("--stanzas", "60", "--minutes", "0.05", "--seed", "3"),
    "latency": ("--sessions", "1", "--rate", "20", "--seconds", "1"),
    "mail": ("--messages", "20", "--rounds", "1", "--contacts", "2"),
    "pss": ("--workers", "1", "--seconds", "0.3"),
    "restore": ("--sessions", "2", "--rounds", "1"),
    "soak": ("--sessions", "2", "--minutes", "0.15", "--faults-per-minute", "60", "--seed", "1"),
    "supervisor": ("--sessions", "1", "--seconds", "0.3"),
    "untouched": ("--minutes", "0.05"),
    "verify": ("--sessions", "2", "--runs", "1"),
    "webhook": ("--messages", "100", "--rounds", "1"),
}
# Figures without which the run has shown nothing.
PROOFS = {
    "fleet": ["fleet of 3: dials after the return"],
    "hostile": ["hostile: stanzas", "hostile: attacked session, real messages", "hostile: most threads of a worker"],
    "mail": ["mail, 2 contacts: wasess, to the inbox", "mail, 2 contacts: wasess, to the bot"],
    "soak": ["soak: faults", "soak: messages"],
    "webhook": ["webhook, 100 messages in 1 chat", "webhook, 100 messages in 100 chats"],
    "latency": ["latency, 1 sessions x 20/s: to the bot, p99", "latency, 1 sessions x 4/s: to the bot and back, p99"],
    "verify": ["verify --all, 2 sessions and a manager: RSS", "verify --all, 2 sessions and no manager"],
}

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="workers let nobody but root look into their memory maps")


@pytest.mark.wire
@pytest.mark.parametrize("figure", [pytest.param(name, marks=NEEDS_ROOT) if name == "pss" else name for name in SMALLEST])
def test_each_subcommand_measures(figure, tmp_path):
    bench = subprocess.run(
        [sys.executable, "-m", "bench", figure, *SMALLEST[figure], "--json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = json.loads(bench.stdout)
    assert not found["failures"], bench.stderr
    assert len(found["figures"]) >= 3
    assert any(one["median"] > 0 for one in found["figures"])
    assert {one["name"] for one in found["figures"] if one["median"] > 0} >= set(PROOFS.get(figure, ()))
    assert all(one["command"].startswith(f"python -m bench {figure}") for one in found["figures"])
    assert bench.returncode == int(any(one["over"] for one in found["figures"]))


@pytest.fixture
def module(monkeypatch):
    """A module of the bench by its name; only `python -m bench`, started in this folder, finds it by itself."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"bench.{name}")


@pytest.fixture
def figure(module):
    return module("figure")


def test_the_median_is_judged_not_the_worst(figure):
    assert not figure.Figure("restore", (1.0, 1.5, 9.0), "s", "…", limit=2).over
    assert figure.Figure("restore", (1.0, 2.5, 9.0), "s", "…", limit=2).over
    assert not figure.Figure("restore", (99.0,), "s", "…").over


def test_the_table_names_figure_spread_limit_verdict_and_command(figure):
    restore = figure.Figure("restore of 20", (1.0, 2.5, 9.0), "s", "python -m bench restore", limit=2)
    lines = figure.table([restore], [figure.Failure("pss", "no root")]).splitlines()
    row = next(line for line in lines if line.startswith("restore of 20"))
    assert [cell.strip() for cell in row.split("  ") if cell] == [
        "restore of 20",
        "2.5 s",
        "1 to 9 of 3",
        "2 s",
        "OVER",
        "python -m bench restore",
    ]
    assert lines[-1] == "FAILED  pss: no root"


def test_the_document_says_what_was_over(figure):
    [one] = figure.document([figure.Figure("restore", (1.0, 3.0), "s", "…", limit=1)], [])["figures"]
    assert (one["median"], one["values"], one["over"]) == (2.0, [1.0, 3.0], True)


def test_a_figure_can_have_a_least_value(figure):
    spread = figure.Figure("spread", (0.4,), "s", "…", least=1)
    assert spread.over
    assert not figure.Figure("spread", (1.4,), "s", "…", least=1).over
    assert "at least 1 s  UNDER" in figure.table([spread], [])


def test_a_slope_is_the_least_squares_line(module):
    slope = module("slope")
    assert slope.per_hour([(0.0, 10.0), (1800.0, 11.0), (3600.0, 12.0)]) == pytest.approx(2.0)
    assert slope.percent_per_hour([(0.0, 9.0), (3600.0, 11.0)]) == pytest.approx(20.0)
    assert slope.per_hour([(0.0, 10.0), (1.0, 10.0), (2.0, 13.0), (3.0, 10.0)]) == pytest.approx(0.3 * 3600)
    assert slope.per_hour([(5.0, 1.0)]) == slope.percent_per_hour([]) == 0.0


def test_the_most_in_a_window_are_found_wherever_it_lies(module):
    most_within = module("truth").most_within
    assert most_within([0.0, 0.9, 1.8, 1.85, 2.7], 1.0) == 3
    assert most_within([3.0, 1.0, 2.0], 1.0) == 1
    assert most_within([], 1.0) == 0


def test_short_samples_are_shown_and_not_judged(module, tmp_path):
    samples = module("samples")
    growing = [
        samples.Sample(at, 30.0 + at / 100, 20, None, None, 2 if at % 20 else 1, 60.0, None) for at in map(float, range(0, 3600, 10))
    ]
    long = {one.name: one for one in samples.figures(growing, 2, "soak", tmp_path)}
    short = samples.figures(growing[:60], 2, "soak", tmp_path)
    assert long["manager: RSS, slope"].over
    assert not long["manager: open files, slope"].over
    assert long["sum of 2 workers: RSS"].values == (60.0,) * 171
    assert not {"fork server: RSS", "sum of 2 workers: open files"} & long.keys()
    assert all(one.limit is None for one in short)


def test_a_fault_is_chosen_so_that_it_heals_in_time(module):
    troubles = module("troubles")
    random = Random(7)
    chosen = [troubles.choose(random, ["alice", "bob"], 65.0) for _ in range(300)]
    assert all(one.trouble.lasts[1] + one.trouble.heals_within <= 65 for one in chosen)
    assert {one.user for one in chosen} == {"alice", "bob", "*"}
    assert {one.trouble for one in (troubles.choose(random, ["alice"], 3600.0) for _ in range(2000))} == set(troubles.TROUBLES)
    assert troubles.choose(random, [], 3600.0) is None
    assert troubles.choose(random, ["alice"], 1.0) is None


def test_every_fault_is_one_of_the_sandbox(module):
    for trouble in module("troubles").TROUBLES:
        for words in filter(None, (trouble.waits, trouble.strikes)):
            assert strikes(parse_fault(words.split())) == (words == trouble.strikes)


def test_the_cost_of_a_command_is_its_own_however_large_the_bench_is(module):
    cost_of = module("cost").cost_of
    ballast = bytearray(300 << 20)  # in the test, as a bench has it after linking hundreds of sessions
    small = cost_of([sys.executable, "-S", "-c", "pass"])
    large = cost_of([sys.executable, "-S", "-c", "import time; held = bytearray(100 << 20); time.sleep(0.3)"])
    assert len(ballast) == 300 << 20
    assert 1 < small.mebibytes < 60
    assert small.mebibytes + 90 < large.mebibytes < small.mebibytes + 150
    assert large.milliseconds >= 300


def test_the_time_of_the_launcher_is_not_the_commands(module):
    """It starts a Python itself: a command that does nothing is over long before one would be."""
    cost_of = module("cost").cost_of
    nothing = min(cost_of(["true"]).milliseconds for _ in range(9))
    assert nothing < min(cost_of([sys.executable, "-I", "-S", "-c", "pass"]).milliseconds for _ in range(3))


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["sh", "-c", "echo the reason >&2; exit 3"], 0, "ended with 3: the reason"),
        (["true"], 8, "ended with 0"),
        (["sh", "-c", "kill -9 $$"], 0, "ended with -9"),
        (["no-such-command"], 0, "could not be started"),
    ],
)
def test_a_command_that_ends_otherwise_is_no_figure(module, command, code, says):
    with pytest.raises(module("figure").BenchFailed, match=says):
        module("cost").cost_of(command, code)


def test_the_commands_are_run_in_turn(module, tmp_path):
    log = tmp_path / "log"
    commands = {name: (["sh", "-c", f"echo {name} >>{log}; exit {code}"], code) for name, code in (("a", 0), ("b", 8))}
    found = module("cost").costs(commands, 3)
    assert {name: len(costs) for name, costs in found.items()} == {"a": 3, "b": 3}
    assert log.read_text().split() == ["a", "b"] * 3


def log_entry(message, level=b"DEBUG", name=b"Client/Send"):
    """As the library writes one (neonize.LogEntry): three texts."""
    size = bytes([len(message)]) if len(message) < 128 else bytes([len(message) & 0x7F | 0x80, len(message) >> 7])
    return b"\x0a" + size + message + b"\x12" + bytes([len(level)]) + level + b"\x1a" + bytes([len(name)]) + name


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        (log_entry(b'<receipt id="A1" to="49151@s.whatsapp.net"/>'), b"A1"),
        (log_entry(b'<receipt id="A1" participant="1@lid" to="1-1@g.us" type="inactive"/>' + b" " * 100), b"A1"),
        (log_entry(b'<receipt id="A1" to="49151@s.whatsapp.net" type="retry"><retry count="1"/></receipt>'), b""),
        (log_entry(b'<receipt id="A1" to="49151@s.whatsapp.net"/>', name=b"Client/Recv"), b""),
        (log_entry(b'<message id="A1" to="49151@s.whatsapp.net"/>'), b""),
        (log_entry(b'a text with <receipt id="A1"/> in it'), b""),
    ],
)
def test_a_receipt_that_says_a_message_was_taken_is_known_by_the_librarys_log(module, entry, names):
    assert module("slow_disk").taken(entry) == names


def test_in_the_channel_is_what_is_acknowledged_and_not_written(module, tmp_path):
    slow_disk = module("slow_disk")
    channel = slow_disk.Channel(str(tmp_path))
    assert slow_disk.in_channel(tmp_path, os.getpid()) == 0
    for name in (b"A1", b"A2", b"A3"):
        channel.takes(name)
    channel.arrives(b"... A2 ...")
    assert slow_disk.in_channel(tmp_path, os.getpid()) == 2
    channel.arrives(b"... A4 ...")
    channel.takes(b"A4")  # the channel was empty: its event was written before the receipt was said
    assert slow_disk.in_channel(tmp_path, os.getpid()) == 2


def test_a_slow_disk_that_has_no_place_any_more_says_so(module, monkeypatch):
    monkeypatch.setattr("wasess.link.nursery.BOOTSTRAP", "another program")
    with pytest.raises(SystemExit, match=r"not in wasess\.link\.nursery\.BOOTSTRAP any more"):
        module("slow_disk").main("folder", "hold", "serve")


def test_the_time_online_is_that_between_a_loss_and_the_next_being_active(module):
    fact, online = module("truth").Fact, module("hostile").online
    history = [
        fact(5.0, "alice", "disconnected"),  # before
        fact(20.0, "alice", "disconnected"),
        fact(22.0, "bob", "active"),
        fact(25.0, "alice", "disconnected"),  # a dial that failed
        fact(30.0, "alice", "active"),
        fact(90.0, "alice", "disconnected"),
    ]
    assert online(history, "alice", 10.0, 110.0) == pytest.approx(70.0)
    assert online(history, "bob", 10.0, 110.0) == 100.0


def test_everything_an_attacker_sends_is_something_that_the_wire_can_carry(module):
    attack, nodes = module("attack"), importlib.import_module("wasess.sandbox.nodes")
    chosen = attacker(attack)
    names = [chosen.words() for _ in range(500)]
    assert {sentence for sentence in attack.SENTENCES if any(sentence in name for name in names)} == set(attack.SENTENCES)
    for make in attack.STANZAS.values():
        assert len({nodes.encode(make(chosen)) for _ in range(40)}) > 10
    assert attacker(attack).words() == attacker(attack).words() == names[0], "the seed chooses"


def attacker(attack):
    """One before a device that can be written to."""
    usecases = importlib.import_module("wasess.sandbox.usecases")
    box = usecases.Sandbox(Path("/nonexistent"))
    party = box.contact("alice").party

    class Device:
        user, address, online = "alice", "1:1", True
        take_bundle = staticmethod(party.bundle)

    return attack.Attacker(box, Device(), Random(7), b"3" + bytes(60))


def test_two_checkouts_are_compared_pair_by_pair(module):
    compare = module("compare").compare
    units = {"mail, 1 contact: wasess, to the bot": "1/s", "latency: to the bot, p99": "ms", "bare library": "1/s", "only once": "ms"}
    to_the_bot, p99, bare, _ = units
    pairs = [({to_the_bot: 100.0, p99: 10.0, bare: 9.0, "only once": 1.0}, {to_the_bot: 80.0, p99: 11.0, bare: 3.0, "only once": 0.0})] * 3
    rows = {row.name: row for row in compare([*pairs, ({**pairs[0][0], p99: 1.0}, {**pairs[0][1], p99: 50.0})], units)}
    assert rows[to_the_bot].worse == pytest.approx(25.0), "more is better"
    assert rows[p99].worse == pytest.approx(10.0), "the median of the ratios"
    assert rows[bare].worse is None
    assert rows.keys() == {to_the_bot, p99, bare}
