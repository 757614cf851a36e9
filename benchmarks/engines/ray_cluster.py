"""A real Ray cluster on one host, whose nodes can be killed, cut off and brought back.

    python benchmarks/engines/ray_cluster.py --workers 2 --seconds 600

Each node has a network namespace of its own, joined to the others and to this process by a bridge, where the process
is root and `ip netns` works: only then can a link be cut, and nodes and clusters side by side use the same ports.
Elsewhere all nodes share 127.0.0.1 and `cut` is refused. GPUs are invented (`--num-gpus`): Ray counts them and sets
CUDA_VISIBLE_DEVICES, and nothing more is claimed of them.

Nothing outside the cluster is ever signalled: a node's processes are those of its namespace, or those that bear its
mark in their environment and their descendants. `ray stop`, which stops every Ray on a machine, is not used. A second
process waits for the end of the first, however it ends, and leaves nothing of the cluster.
"""

import argparse
import functools
import ipaddress
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from uuid import uuid4

MARK = "HARNESS_RAY_NODE"
PATIENCE = 120.0
"""Seconds that a start may take; 8 to 35 were measured on two slow cores."""
STORE_BYTES = 80 * 2**20
"""Object store of a node, a little above the least that Ray takes: jobs here put nothing into it."""
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONPATH")
"""What a node has of this process's environment: no tokens, no proxies, nothing of another Ray."""


class Unsupported(RuntimeError):
    """This machine cannot do what was asked of the cluster."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    index: int
    """0 is the head."""
    name: str
    """Of its namespace, and the mark of its processes."""
    ip: str
    cpus: int
    gpus: int
    apart: bool
    """Whether it has a namespace."""

    @property
    def link(self) -> str:
        """The bridge's end of the node's cable."""
        return f"{self.name}v"

    def pids(self) -> list[int]:
        """Return the node's processes."""
        return _inside(self.name) if self.apart else _marked(lambda mark: mark == self.name)

    def named(self, word: str) -> list[int]:
        """Return those whose program's path holds a word."""
        return [pid for pid in self.pids() if word in _command(pid).split(" ")[0]]

    def kill(self) -> None:
        """Kill all of it until nothing is left."""
        _kill_all(self.pids)


class Cluster:
    """A head without devices and `workers` nodes with `cpus` and `gpus` each; a context that leaves nothing behind.

    `tuning` is environment for Ray itself, such as RAY_health_check_period_ms.
    """

    def __init__(
        self,
        workers: int = 2,
        cpus: int = 2,
        gpus: int = 2,
        tuning: dict[str, str] | None = None,
        *,
        namespaces: bool | None = None,
    ) -> None:
        self.namespaces = can_separate() if namespaces is None else namespaces
        self.nodes: list[Node] = []
        self._shape = (workers, cpus, gpus)
        self._tuning = tuning or {}
        self._name = f"rh{uuid4().hex[:6]}"
        self._subnet = _free_subnet() if self.namespaces else None
        self._undertaker: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="rh"))  # short: the path of a Unix socket has 107 letters at most
        self._port, self._dashboard, self._client = (6399, 8265, 10001) if self.namespaces else _free_ports(3)

    @property
    def address(self) -> str:
        """Where the Jobs API answers."""
        return f"http://{self.head.ip}:{self._dashboard}"

    @property
    def head(self) -> Node:
        """The node without devices."""
        return self.nodes[0]

    @property
    def workers(self) -> list[Node]:
        """The others."""
        return self.nodes[1:]

    def __enter__(self) -> "Cluster":
        workers, cpus, gpus = self._shape
        bury = [sys.executable, "-P", __file__, "--bury", self._name, str(self.folder)]
        self._undertaker = subprocess.Popen(bury, stdin=subprocess.PIPE, start_new_session=True)
        try:
            if self._subnet is not None:
                self._lay_bridge(self._subnet)
            self.nodes.append(self._plug_in(0, 0, 0))
            self._start(self.head)
            for node in [self._new_node(cpus, gpus) for _ in range(workers)]:
                self._start(node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill every node; remove namespaces, bridge and files."""
        bury(self._name, self.folder)
        if self._undertaker is not None and self._undertaker.stdin is not None:
            self._undertaker.stdin.close()
            self._undertaker.wait()

    def add_worker(self, cpus: int | None = None, gpus: int | None = None) -> Node:
        """Start another node."""
        node = self._new_node(self._shape[1] if cpus is None else cpus, self._shape[2] if gpus is None else gpus)
        self._start(node)
        return node

    def kill_node(self, node: Node) -> None:
        """Take a machine's power away: its raylet, its agents and the jobs on it."""
        node.kill()

    def kill_raylet(self, node: Node) -> None:
        """Kill a node's raylet only; what becomes of the rest is Ray's business."""
        _kill(node.named("raylet/raylet"))

    def kill_gcs(self) -> None:
        """Kill the head's gcs_server, which alone knows of nodes and jobs; the dashboard is left."""
        _kill(self.head.named("gcs_server"))

    def restart_head(self) -> None:
        """Replace the head by a new one at the same address, which knows nothing of the old."""
        self.head.kill()
        (self.folder / "ray_current_cluster").unlink(missing_ok=True)  # else a node's raylet is taken for a head
        self._start(self.head)

    def restart_worker(self, node: Node) -> None:
        """Start a node again, where it was."""
        node.kill()
        self._start(node)

    def cut(self, node: Node) -> None:
        """Pull a node's cable."""
        self._switch(node, "down")

    def heal(self, node: Node) -> None:
        """Put a node's cable back."""
        self._switch(node, "up")

    def alive(self) -> int:
        """Return how many nodes the head counts as alive, itself among them."""
        return len(self._members())

    def _members(self) -> set[str]:
        """Return the ids of the nodes that the head counts as alive."""
        return {node["node_id"] for node in _listed(self.address) if node["state"] == "ALIVE"}

    def _switch(self, node: Node, state: str) -> None:
        if not node.apart:
            raise Unsupported("Nodes share 127.0.0.1, where no link can be cut. Run as root where `ip netns` works.")
        _ip("link", "set", node.link, state)

    def _lay_bridge(self, subnet: ipaddress.IPv4Network) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("address", "add", f"{subnet[254]}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    def _new_node(self, cpus: int, gpus: int) -> Node:
        self.nodes.append(self._plug_in(len(self.nodes), cpus, gpus))
        return self.nodes[-1]

    def _plug_in(self, index: int, cpus: int, gpus: int) -> Node:
        name = f"{self._name}n{index}"
        if self._subnet is None:
            return Node(index, name, "127.0.0.1", cpus, gpus, apart=False)
        node = Node(index, name, str(self._subnet[index + 1]), cpus, gpus, apart=True)
        _ip("netns", "add", name)
        _ip("link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", node.link, "master", self._name, "up")
        _ip("-n", name, "address", "add", f"{node.ip}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        return node

    def _start(self, node: Node) -> None:
        """Start a node's Ray and wait until it is part of the cluster."""
        before = set[str]() if node is self.head else self._members()
        inside = ["ip", "netns", "exec", node.name] if node.apart else []
        log = self.folder / f"node-{node.index}.log"
        with log.open("ab") as output:
            started = subprocess.run(
                [*inside, sys.executable, "-m", "ray.scripts.scripts", "start", *self._options(node)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(node),
                cwd=self.folder,
                timeout=PATIENCE,
                check=False,
            )
        if started.returncode != 0:
            raise RuntimeError(f"node {node.index} did not start: {log.read_text(errors='replace')[-3000:]}")
        # by its own id: the head counts a killed node as alive until it has missed some health checks
        await_that(lambda: bool(self._members() - before), f"node {node.index} in the cluster")

    def _options(self, node: Node) -> list[str]:
        shape = (f"--num-cpus={node.cpus}", f"--num-gpus={node.gpus}", f"--object-store-memory={STORE_BYTES}")
        common = [f"--node-ip-address={node.ip}", *shape, "--disable-usage-stats", "--include-log-monitor=false"]
        if node is not self.head:
            return [f"--address={self.head.ip}:{self._port}", *common]
        dashboard = (f"--dashboard-host={node.ip}", f"--dashboard-port={self._dashboard}")
        ports = (f"--port={self._port}", f"--ray-client-server-port={self._client}")
        return ["--head", *ports, "--include-dashboard=true", *dashboard, f"--temp-dir={self.folder}", *common]

    def _environment(self, node: Node) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {**kept, "RAY_AUTH_MODE": "disabled", "TMPDIR": str(self.folder), MARK: node.name, **self._tuning}


def can_separate() -> bool:
    """Return whether network namespaces can be made here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"rh{uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    _ip("netns", "delete", name, check=False)
    return made


def await_that(holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Wait until something holds; return the seconds it took."""
    began = time.monotonic()
    while True:
        with suppress(OSError):  # who is asked has not begun to answer
            if holds():
                return time.monotonic() - began
        if time.monotonic() > began + patience:
            raise TimeoutError(f"not within {patience:g} s: {what}")
        time.sleep(0.2)


def _listed(address: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{address}/api/v0/nodes?limit=1000", timeout=10) as answer:
        return json.load(answer)["data"]["result"]["result"]


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _free_subnet() -> ipaddress.IPv4Network:
    """Return a private /24 that no route of this host leads to; drawn, so that two at once seldom collide."""
    taken = [ipaddress.ip_network(line.split()[0]) for line in _ip("route").splitlines() if line[0].isdigit()]
    drawn = random.SystemRandom()
    while True:
        subnet = ipaddress.IPv4Network(f"10.{drawn.randrange(64, 128)}.{drawn.randrange(256)}.0/24")
        if not any(subnet.overlaps(network) for network in taken if network.version == 4):
            return subnet


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def _kill(pids: list[int]) -> None:
    if not pids:
        raise RuntimeError("there is no such process to kill")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def bury(name: str, folder: Path) -> None:
    """Leave nothing of a cluster."""
    namespaces = [line.split()[0] for line in _ip("netns", "list", check=False).splitlines()]
    for namespace in (known for known in namespaces if known.startswith(f"{name}n")):
        _kill_all(functools.partial(_inside, namespace))
        _ip("netns", "delete", namespace, check=False)
    _kill_all(lambda: _marked(lambda mark: mark.startswith(f"{name}n")))
    _ip("link", "delete", name, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _kill_all(found: Callable[[], list[int]]) -> None:
    for _ in range(50):
        left = [pid for pid in found() if _stat(pid)[:1] not in ([], ["Z"])]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    raise RuntimeError(f"processes outlive SIGKILL: {found()}")


def _inside(namespace: str) -> list[int]:
    return [int(pid) for pid in _ip("netns", "pids", namespace, check=False).split()]


def _marked(matches: Callable[[str], bool]) -> list[int]:
    """Return processes by their mark, and what came of them: a title, once set, overwrites a process's environment."""
    every = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = {pid for pid in every for mark in _marks(pid) if matches(mark)}
    parents = {pid: int(parent) for pid in every for parent in _stat(pid)[1:2]}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _marks(pid: int) -> list[str]:
    with suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return [one.decode().partition("=")[2] for one in variables if one.startswith(f"{MARK}=".encode())]
    return []


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _stat(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--bury", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.bury:
        sys.stdin.read()  # until the process that made the cluster ends, however it does
        bury(asked.bury[0], Path(asked.bury[1]))
        return
    with Cluster(asked.workers, asked.cpus, asked.gpus) as cluster:
        print(cluster.address, flush=True)
        time.sleep(asked.seconds)


if __name__ == "__main__":
    main()
