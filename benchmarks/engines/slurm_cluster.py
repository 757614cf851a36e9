"""A real SLURM of two nodes on one host: a controller, munge and two node daemons of its own, from a folder of its own.

    python benchmarks/engines/slurm_cluster.py -- squeue

starts a cluster, runs a command in its environment and takes it down again. Nothing of the machine's own SLURM is
touched: everything lies in the folder, and ports are taken as they are free, so that clusters live side by side. GPUs
are /dev/null and /dev/zero, cores are claimed that do not exist, and nothing holds a job to its memory. Needs Linux,
root, and Debian's slurmctld, slurmd, slurm-client and munge.
"""

import argparse
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

NODES = ("n1", "n2")
PATIENCE = 60.0
"""Seconds after which the cluster is said not to come about."""

NODE = """
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
libc.prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: whatever the node starts stays its descendant, so that a node can be killed
subprocess.Popen(sys.argv[1:], preexec_fn=lambda: libc.prctl(1, 9))  # PR_SET_PDEATHSIG, as for the node itself
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""

CONFIGURATION = Path(__file__).with_name("slurm.conf")
"""What is configured; names in braces are filled in."""

DEVICES = "".join(f"NodeName=n1,n2 Name=gpu Type=fake File=/dev/{name}\n" for name in ("null", "zero"))


def missing() -> str | None:
    """Return what a cluster would need and this machine has not, or None."""
    if sys.platform != "linux":
        return "a real SLURM needs Linux"
    needed = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
    absent = [name for name in needed if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurmctld slurmd slurm-client munge)"
    return "starting slurmd takes root" if os.geteuid() != 0 else None


@dataclass
class Cluster:
    """Two nodes, `n1` and `n2`, with two fake GPUs each, and the partitions `low` and `high`, of which `high` preempts.

    Use it as a context: whatever happened inside, everything is stopped and removed.
    """

    cpus: int = 4
    """Cores that each node claims."""
    max_array: int = 1001
    """`MaxArraySize`: the largest index of an array, and one more."""
    grace: int = 0
    """Seconds that a preempted job is given. What comes after them SLURM looks to twice a minute; with 0, at once."""
    preempt: str = "REQUEUE"
    """What becomes of a preempted job: `REQUEUE` or `CANCEL`."""
    warns: bool = False
    """Whether a preempted job gets the signal of `--signal` as its grace begins; by default SLURM says nothing then."""
    folder: Path = field(init=False)
    _daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def __enter__(self) -> "Cluster":
        """Start everything and wait until both nodes are idle."""
        with ExitStack() as stack:
            stack.callback(self.close)
            self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path must be short
            self.folder.chmod(0o755)
            self._configure()
            self._start("munged", self._munged())
            self._until(lambda: (self.folder / "munge.socket").exists(), "munged")
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            self.wait(lambda: [self.node(name) for name in NODES] == ["idle", "idle"], "both nodes are idle")
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.close()

    def close(self) -> None:
        """Kill all that the cluster started, its jobs among it, and remove its folder."""
        for node in NODES:
            self.kill_node(node)
        for daemon in list(self._daemons):
            self._kill(daemon)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def conf(self) -> Path:
        """The configuration, which `SLURM_CONF` names."""
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which SLURM's commands speak to this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.conf), "PATH": _path()}

    def call(self, *command: str, timeout: float = PATIENCE) -> str:
        """Return what one of SLURM's commands prints.

        Raises:
            RuntimeError: it failed; the text says what it complained of.
        """
        ended = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout)
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command)}: {ended.stderr.strip()}")
        return ended.stdout

    def squeue(self, *options: str) -> str:
        """Return what squeue prints, without its header."""
        return self.call("squeue", "--noheader", *options)

    def submit(self, shell: str, *options: str) -> str:
        """Submit a job that is none of the harness's; return SLURM's number for it."""
        return self.call("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={shell}").strip()

    def requeue(self, job: str) -> None:
        """Have a job stopped and queued again; SLURM then holds it back for some ten seconds (`cred_expire`)."""
        self.call("scontrol", "requeue", job)

    def release(self, job: str) -> None:
        """Let a job that is held back until later start now."""
        time.sleep(1.1)  # SLURM counts seconds: one that starts in the second of its stop has its credential revoked
        self.update(f"JobId={job}", "StartTime=now")

    def update(self, *what: str) -> None:
        """Change something, as `scontrol update` does."""
        self.call("scontrol", "update", *what)

    def state(self, job: str) -> str:
        """Return a job's state in SLURM's word for it."""
        return self.squeue("--states=all", "--array", f"--jobs={job}", "--format=%T").strip()

    def node(self, name: str) -> str:
        """Return a node's state in SLURM's word for it, such as `idle` or `down*`."""
        return self.call("sinfo", "--noheader", f"--nodes={name}", "--format=%t", "--partition=low").strip()

    def start_controller(self) -> None:
        """Start the controller and wait until it answers."""
        self._start("slurmctld", ["slurmctld", "-D", "-f", str(self.conf)])
        self.wait(lambda: "UP" in self.call("scontrol", "ping"), "the controller answers")

    def stop_controller(self, *, crash: bool = False) -> None:
        """Stop the controller; nodes and jobs go on. One that crashes forgets what the last five seconds brought."""
        if not crash:
            self._daemons["slurmctld"].terminate()
            self._daemons["slurmctld"].wait(PATIENCE)
        self._kill("slurmctld")

    def start_node(self, name: str) -> None:
        """Start a node's daemon."""
        self._start(name, [sys.executable, "-c", NODE, "slurmd", "-D", "-N", name, "-f", str(self.conf)])

    def kill_node(self, name: str) -> None:
        """Kill a node: its daemon, the steps under way and every process of its jobs."""
        if name not in self._daemons:
            return
        launcher = self._daemons[name].pid
        while family := _descendants(launcher):
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._kill(name)

    def log(self, name: str) -> str:
        """Return the log of `slurmctld`, `munged`, `n1` or `n2`."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait(self, until: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
        """Wait until something holds, an error of SLURM's commands being taken for no; return the seconds it took.

        Raises:
            TimeoutError: it did not come about, or cannot, because a daemon has ended.
        """

        def holds() -> bool:
            try:
                return until()
            except RuntimeError:
                return False

        return self._until(holds, what, patience)

    def _until(self, until: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
        started = time.monotonic()
        while not until():
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() - started > patience:
                logs = "\n".join(f"{name}: {self.log(name)[-1500:]}" for name in self._daemons)
                raise TimeoutError(f"{what}: not within {patience:g} s (daemons that ended: {ended})\n{logs}")
            time.sleep(0.05)
        return time.monotonic() - started

    def _configure(self) -> None:
        port, *ports = _free_ports(3)
        host = socket.gethostname().split(".", 1)[0]
        own = {"name": self.folder.name.replace("-", "_"), "folder": self.folder, "host": host}
        chosen = {"cpus": self.cpus, "max_array": self.max_array, "grace": self.grace, "preempt": self.preempt}
        controller = "SlurmctldParameters=preempt_send_user_signal" if self.warns else ""
        filled = CONFIGURATION.read_text().format(port=port, ports=ports, controller=controller, **own, **chosen)
        self.conf.write_text(filled)
        (self.folder / "gres.conf").write_text(DEVICES)
        for name in ("state", "spool.n1", "spool.n2"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)

    def _munged(self) -> list[str]:
        paths = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in paths.items()]
        return ["munged", "--foreground", "--force", *options]

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def _kill(self, name: str) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is not None:
            daemon.kill()
            daemon.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: tests that are killed leave no cluster behind


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _descendants(root: int) -> list[int]:
    """Return the living descendants of a process, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    line = [root]
    while line:
        below = children.get(line.pop(0), [])
        found += below
        line += below
    return found


def main() -> int:
    """Run a command beside a cluster."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("command", nargs="+")
    with Cluster() as cluster:
        return subprocess.run(parser.parse_args().command, env=cluster.environment).returncode


if __name__ == "__main__":
    sys.exit(main())
