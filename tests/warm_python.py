"""A Python that has imported the libraries which cabench uses, and forks a process for whoever asks for one.

Started afresh, a process spends two seconds importing torch, scikit-learn and pandas before its first own line; forked
from here it comes to that line in hundredths of one. The package itself is not there yet: each process imports it, from
where its own path says.

Requests arrive on the socket whose number is the one argument. Each is JSON, with what followed `python` on a command
line, the working folder and the environment, and carries four files: standard input, output and error, and one to which
the process id is written at once and the exit status at the end.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import sys
from types import ModuleType
from typing import Any

LARGEST_REQUEST = 1 << 18


def import_libraries() -> None:
    """Import what runs, evaluations and gates import, and forget the package's own modules."""
    import torch._dynamo  # noqa: F401 - the first optimizer imports it

    import cabench.experiment.reevaluation
    import cabench.experiment.runner  # noqa: F401
    from cabench.discovery import dataset_class, method_class, plugins

    for name in plugins("methods"):
        method_class(name)
    for name in plugins("datasets"):
        dataset_class(name)
    for name in list(sys.modules):
        if name.partition(".")[0] == "cabench":
            del sys.modules[name]
    gc.collect()
    gc.freeze()  # no collection in a fork touches, and so copies, what all of them share


def forked(requests: socket.socket) -> dict[str, Any]:
    """Wait for requests; gives each of them in a process of its own, and never returns in this one."""
    signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))
    while True:
        message, files, *_ = socket.recv_fds(requests, LARGEST_REQUEST, 4)
        if not message:
            sys.exit()
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report = files
    process = os.fork()
    if process != 0:
        os.write(report, f"{process}\n".encode())
        os.write(report, f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n".encode())
        os._exit(0)
    requests.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for file in files:
        os.close(file)
    return json.loads(message)


def run(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what `python -m MODULE ...` and `python -c CODE ...` do."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:1] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    option, what, *others = arguments
    sys.argv = [option, *others]
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(what, vars(main))


if __name__ == "__main__":
    import_libraries()
    run(**forked(socket.socket(fileno=int(sys.argv[1]))))
