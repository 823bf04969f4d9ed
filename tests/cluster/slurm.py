"""A SLURM of its own on this machine: a controller and two nodes on loopback, with everything in one folder.

    python tests/cluster/slurm.py        starts one and says how commands reach it; Ctrl-C stops it

It takes Debian's packages `slurm-wlm` and `munge`, and no set-up. It was seen to work as root.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
NODES = ("n1", "n2")
PATIENCE_S = 60.0  # for what takes a second or two on a machine with nothing else to do

# Without accounting storage, as many small clusters are: nothing may depend on `sacct`. A requeued job waits until the
# credentials of its last start have expired, which takes 5 s at least. Partition `urgent` pre-empts jobs of `main`.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
SlurmdLogFile={folder}/%n.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


class Slurm:
    """A running SLURM.

    Attributes:
        folder: of its configuration, state, key and logs.
        environment: with which commands, such as `sbatch`, reach it.
    """

    def __init__(self, folder: Path) -> None:
        """Take an empty folder, whose path must be short: a socket will stand in it."""
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all daemons, and wait until the nodes can be used."""
        folder, key = self.folder, self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(host=host, user=user, ports=free_ports(3), folder=folder)
        )
        for name in ("state", *NODES):
            (folder / name).mkdir()
        names = {"socket": "munge.socket", "key-file": key.name, "pid-file": "munge.pid", "seed-file": "munge.seed"}
        options = [f"--{name}={folder / file}" for name, file in (names | {"log-file": "munge.log"}).items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        self._wait_until((folder / "munge.socket").exists)
        self._start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self._start(node, "slurmd", "-D", "-N", node)
        self._wait_until(lambda: self.nodes() == dict.fromkeys(NODES, "idle"))

    def call(self, *command: str) -> str:
        """What a command prints."""
        done = self._call(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def nodes(self) -> dict[str, str]:
        """The state of every node; empty while no controller answers."""
        done = self._call("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %t")
        return dict(line.split() for line in done.stdout.splitlines())

    def tasks(self) -> dict[str, tuple[str, str]]:
        """State and node of every task of an array that runs or waits, by its name such as "12_0"."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%i|%T|%N").splitlines()
        return {name: (state, node) for name, state, node in (line.split("|") for line in lines)}

    def take_down(self, node: str) -> None:
        """Lose a node as if its power had failed: its daemon and all processes of its jobs end without a word."""
        lost = [psutil.Process(self._daemons.pop(node).pid), *self._processes(node)]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # none may see another one end
            for process in lost:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=power")

    def bring_back(self, node: str) -> None:
        """Start a node again that was taken down, and wait until the controller uses it."""
        self._start(node, "slurmd", "-D", "-N", node)
        self._wait_until(lambda: self.nodes()[node] != "down")

    def empty(self) -> None:
        """Cancel all jobs, and wait until they are gone."""
        self._call("scancel", f"--user={getpass.getuser()}")
        self._wait_until(lambda: not self._call("squeue", "--noheader").stdout)

    def stop(self) -> None:
        """End all jobs and daemons."""
        with suppress(AssertionError):
            self.empty()
        left = [process for node in NODES for process in self._processes(node)]
        for process in (*left, *self._daemons.values()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for daemon in self._daemons.values():
            daemon.wait()

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def _call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def _processes(self, node: str) -> Iterator[psutil.Process]:
        """The processes of all jobs on a node, and those that watch over them, which keep its log open."""
        log = str(self.folder / f"{node}.log")
        mine = {"SLURM_CONF": self.environment["SLURM_CONF"], "SLURMD_NODENAME": node}.items()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                watches = process.name() == "slurmstepd" and any(file.path == log for file in process.open_files())
                if watches or mine <= process.environ().items():
                    yield process

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, lambda: "\n".join(path.read_text() for path in sorted(self.folder.glob("*.out"))))


def missing_programs() -> list[str]:
    """What is not installed of what a SLURM needs."""
    return [name for name in PROGRAMS if not shutil.which(name)]


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A SLURM that runs inside the block, in a temporary folder; nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    folder.chmod(0o755)  # munge refuses a socket that not everybody can reach
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens to now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(condition: Callable[[], bool], tell: Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: with what `tell` says, when it does not within `patience_s`.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.1)


if __name__ == "__main__":
    with running_slurm() as here:
        print(f"export SLURM_CONF={here.environment['SLURM_CONF']}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
