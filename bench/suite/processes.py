"""Processes that run on cores of their own, and what they need: ports, a certificate."""
import atexit
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class Failure(Exception):
    pass


def free_port():
    """Below the ports that outgoing connections take."""
    while True:
        with socket.socket() as held:
            try:
                port = random.randrange(12000, 31000)
                held.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


@functools.cache
def certificate():
    """A certificate and its key, of the kind that most sites have: paths of PEM files, the same for all servers of a run."""
    folder = tempfile.mkdtemp(prefix="tidegate-bench-tls-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    names = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                           "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                           "-out", names[0], "-keyout", names[1]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"openssl makes no certificate: {done.stderr[-300:]}")
    return names


def family(pid):
    """A process and all that descend from it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as line:
                    parents[int(name)] = int(line.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


class Process:
    """A server that runs on some cores, with its log in a file. It ends with the suite, however that ends."""

    def __init__(self, command, cores, log, environment=None, cwd=None):
        self.log = log
        with open(log, "w") as out:
            self.popen = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "taskset", "-c", cores, *command], stdout=out, stderr=out, cwd=cwd,
                                          stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    def pids(self):
        return family(self.popen.pid)

    def logged(self):
        with open(self.log, errors="replace") as lines:
            return lines.read()

    def wait_until(self, test, limit=30):
        deadline = time.monotonic() + limit
        while not test():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{' '.join(self.popen.args)} did not come up:\n{self.logged()[-2000:]}")
            time.sleep(0.02)

    def listens(self, port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        members = self.pids()
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.popen.wait()


class Group:
    """Processes that are measured as one server."""

    def __init__(self):
        self.members = []

    def add(self, process):
        self.members.append(process)
        return process

    def pids(self):
        return [pid for process in self.members for pid in process.pids()]

    def logged(self):
        return "\n".join(process.logged() for process in self.members)

    def stop(self):
        while self.members:
            self.members.pop().stop()
