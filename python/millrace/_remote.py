"""Runs one step of a Millrace pipeline on a machine of a cluster: fetches its files from Millrace, runs it within its limits, takes its outputs there.

Self-contained: it comes over HTTP and is run as it is, so it imports nothing but the standard library. It is told, by environment variables,
MILLRACE_JOB_URL, MILLRACE_JOB_TOKEN and MILLRACE_JOB_SPEC, the digest of what is to be done. What it says are lines of JSON with a mark before them; the last
one names the digest of the result.
"""

import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

MARK = "@millrace "
PATIENCE_S = 5.0
LOOK_S = 0.1
FOLDER_LOOK_S = 2.0
# For so long a Millrace that is away, as in a restart, is waited for.
AWAY_S = 600.0
CHUNK = 1024 * 1024

_saying = threading.Lock()


def say(**what):
    with _saying:
        sys.stdout.write(MARK + json.dumps(what) + "\n")
        sys.stdout.flush()


class Problem(Exception):
    """Told to the person as it is."""


class _WithoutToken(urllib.request.HTTPRedirectHandler):
    """The token is Millrace's alone: an address of the object store that it sends us to is signed already."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None:
            made.remove_header("Authorization")
        return made


class Millrace:
    def __init__(self, url, token):
        self.url = url.rstrip("/") + "/api/v1/compute/objects/"
        self.token = token
        self.opener = urllib.request.build_opener(_WithoutToken())

    def fetch(self, digest, target):
        """Writes an object to a file, whole and checked."""

        def once():
            request = urllib.request.Request(self.url + digest + "?redirect=true", headers={"authorization": "Bearer " + self.token})
            hashed = hashlib.sha256()
            with self.opener.open(request, timeout=60) as answer, open(target, "wb") as file:
                for chunk in iter(lambda: answer.read(CHUNK), b""):
                    hashed.update(chunk)
                    file.write(chunk)
            if "sha256:" + hashed.hexdigest() != digest:
                raise OSError("the object " + digest + " came incomplete")

        _patiently(once)

    def read(self, digest):
        handle, place = tempfile.mkstemp()
        os.close(handle)
        try:
            self.fetch(digest, place)
            with open(place, "rb") as file:
                return file.read()
        finally:
            os.unlink(place)

    def put(self, place):
        hashed = hashlib.sha256()
        with open(place, "rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                hashed.update(chunk)
        digest = "sha256:" + hashed.hexdigest()
        size = os.path.getsize(place)

        def once():
            with open(place, "rb") as file:
                request = urllib.request.Request(
                    self.url + digest,
                    data=file,
                    method="PUT",
                    headers={"authorization": "Bearer " + self.token, "content-type": "application/octet-stream", "content-length": str(size)},
                )
                with self.opener.open(request, timeout=600) as answer:
                    answer.read()

        _patiently(once)
        return {"digest": digest, "size": size}


def _patiently(work):
    until = time.monotonic() + AWAY_S
    pause = 0.2
    while True:
        try:
            return work()
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > until:
                raise Problem("Millrace answered %d: %s" % (error.code, error.read(2000).decode(errors="replace"))) from None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                raise Problem("Millrace can't be reached from %s: %s" % (socket.gethostname(), error)) from None
        time.sleep(pause)
        pause = min(pause * 2, 10)


# Files -------------------------------------------------------------------------------------------------------------------------------------------------------


def within(folder, relative):
    place = os.path.normpath(os.path.join(folder, relative))
    if not relative or os.path.isabs(relative) or not place.startswith(folder + os.sep):
        raise Problem("%r is no path within the step's folder." % relative)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    return place


def output_path(folder, name, type):
    if type == "table":
        return os.path.join(folder, name + ".parquet")
    return os.path.join(folder, name if type in ("model", "file") else name + ".json")


def place_job(millrace, spec, folder):
    project = os.path.join(folder, "project")
    outputs = os.path.join(folder, "outputs")
    os.makedirs(project)
    os.makedirs(outputs)
    for file in spec["code"]:
        millrace.fetch(file["digest"], within(project, file["path"]))
    program = os.path.normpath(spec["command"][0])
    if any(file["path"] == program for file in spec["code"]):
        os.chmod(os.path.join(project, program), 0o755)

    def noted(given, place):
        if given["kind"] == "value":
            return {"type": "value", "paths": [], "value": given["value"]}
        if given["kind"] == "list":
            return {"items": [noted(item, os.path.join(place, str(i))) for i, item in enumerate(given["items"])], "folder": place}
        os.makedirs(place, exist_ok=True)
        paths = []
        for file in given["files"]:
            paths.append(within(place, file["path"]))
            millrace.fetch(file["digest"], paths[-1])
        return {"type": given["type"], "paths": paths, "folder": place, **({"value": given["value"]} if "value" in given else {})}

    parts = spec["id"].split("/")
    note = {
        "run": parts[0],
        "step": "/".join(parts[1:-1]),
        "inputs": {name: noted(given, os.path.join(folder, "inputs", name)) for name, given in spec["inputs"].items()},
        "outputs": {name: {"type": o["type"], "path": output_path(outputs, name, o["type"])} for name, o in spec["outputs"].items()},
        "params": spec["params"],
    }
    with open(os.path.join(folder, "step.json"), "w", encoding="utf-8") as file:
        json.dump(note, file)
    return project, note


def files_at(place, name, limits):
    if os.path.islink(place):
        raise Problem('The output "%s" is no plain file and no folder: links and devices can\'t be kept.' % name)
    if os.path.isfile(place):
        return [(os.path.basename(place), place)]
    found = []
    for folder, folders, files in os.walk(place):
        for entry in files + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            where = os.path.join(folder, entry)
            relative = os.path.relpath(where, place).replace(os.sep, "/")
            if os.path.islink(where) or not os.path.isfile(where):
                raise Problem('The output "%s" holds %s, which is no plain file: links and devices can\'t be kept.' % (name, relative))
            found.append((relative, where))
            if len(found) > limits["outputFiles"]:
                raise Problem('The output "%s" has more than %d files, which is the most that can be kept.' % (name, limits["outputFiles"]))
    # In the order in which JavaScript orders names: by their UTF-16 units.
    return sorted(found, key=lambda file: file[0].encode("utf-16-be", "surrogatepass"))


def chosen(name, type, files, limits):
    """The same rules, in the same words, as on the machine of the server: layout.ts."""
    size = sum(os.path.getsize(place) for _, place in files)
    if size > limits["outputBytes"]:
        raise Problem('The output "%s" has %d bytes: an output may have %d.' % (name, size, limits["outputBytes"]))
    if type == "table":
        parts = [file for file in files if file[0].endswith(".parquet")]
        if not parts:
            raise Problem('The output "%s" is missing: write Parquet to millrace.output("%s"), one file or a folder of *.parquet files.' % (name, name))
        return parts
    if type == "model":
        if not files:
            raise Problem('The output "%s" is missing: write the model\'s files to the folder millrace.output("%s"), or one file there.' % (name, name))
        return files
    if type == "file":
        if not files:
            raise Problem('The output "%s" is missing: write one file to millrace.output("%s").' % (name, name))
        if len(files) > 1:
            raise Problem('The output "%s" is one file, and %d are there. Write an archive, or a model, which may be a folder.' % (name, len(files)))
        return files
    if len(files) != 1:
        raise Problem('The output "%s" is missing: write one JSON file to millrace.output("%s").' % (name, name))
    if size > limits["jsonBytes"]:
        raise Problem('The output "%s" has %d bytes: JSON outputs may have %d. Write a table instead.' % (name, size, limits["jsonBytes"]))
    return files


def take_outputs(millrace, note, limits):
    found = {name: chosen(name, o["type"], files_at(o["path"], name, limits), limits) for name, o in note["outputs"].items()}
    return {name: [{"path": path, **millrace.put(place)} for path, place in files] for name, files in found.items()}


# Programs ----------------------------------------------------------------------------------------------------------------------------------------------------


def cache_folder():
    named = os.environ.get("MILLRACE_CACHE")
    for candidate in [named] if named else [os.path.join(os.path.expanduser("~"), ".cache", "millrace"), os.path.join(tempfile.gettempdir(), "millrace-cache")]:
        try:
            os.makedirs(candidate, exist_ok=True)
            if os.access(candidate, os.W_OK):
                return candidate
        except OSError:
            continue
    raise Problem("no folder can be written to keep environments in; let MILLRACE_CACHE name one on the nodes")


def made_once(place, make):
    """`make(aside)` fills a folder that takes its place when it is whole; of those who want it at once on a machine, one makes it."""
    if os.path.isdir(place):
        return place
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(place):
            aside = tempfile.mkdtemp(prefix="making-", dir=os.path.dirname(place))
            try:
                make(aside)
                os.rename(aside, place)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return place


def helper_folder(millrace, digest):
    def make(aside):
        for path, text in json.loads(millrace.read(digest)).items():
            with open(within(aside, path), "w", encoding="utf-8") as file:
                file.write(text)

    return made_once(os.path.join(cache_folder(), "helpers", digest[7:39]), make)


def without_folders(text):
    """Where things lie on the node is nobody's business who reads a step's log: of each path its last part is left, as uv.ts does it."""
    return re.sub(r"""(?<![\w:/.])(?:file://)?/(?:[^\s/`'":]+/)+(?=[^\s/`'":])""", "", text)


def tool(command, failure, environment=None):
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env={**os.environ, **(environment or {})})
    last = []
    for line in done.stdout:
        if line.startswith("Activate with:"):
            continue
        line = without_folders(line)
        say(line=["millrace", line.rstrip("\n")])
        last = (last + [line])[-15:]
    if done.wait() != 0:
        raise Problem(failure + " " + os.path.basename(command[0]) + " said:\n" + "".join(last))


def find_uv():
    found = shutil.which("uv")
    if found:
        return found
    place = os.path.join(cache_folder(), "uv")

    def make(aside):
        say(line=["millrace", "Installing uv, which makes the environments of Python steps."])
        tool([sys.executable, "-m", "pip", "install", "--quiet", "--target", aside, "uv>=0.8,<1"], "uv can't be installed with pip.")

    return os.path.join(made_once(place, make), "bin", "uv")


def registry_settings():
    """What pip is configured with on this node, as uv reads it: uv.ts does the same."""
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    settings = {}
    for line in asked.stdout.splitlines():
        match = re.match(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", line)
        if match:
            settings[match.group(1)] = match.group(2).replace("\\n", " ").strip()
    translated = (
        ("UV_DEFAULT_INDEX", ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), settings.get("index-url")),
        ("UV_INDEX", ("UV_INDEX", "UV_EXTRA_INDEX_URL"), settings.get("extra-index-url")),
        ("UV_FIND_LINKS", ("UV_FIND_LINKS",), settings.get("find-links", "").replace(" ", ",")),
        ("UV_INSECURE_HOST", ("UV_INSECURE_HOST",), settings.get("trusted-host")),
        ("SSL_CERT_FILE", ("SSL_CERT_FILE",), settings.get("cert")),
    )
    return {name: value for name, own, value in translated if value and not any(o in os.environ for o in own)}


def environment_python(millrace, digest):
    version = "%d.%d" % sys.version_info[:2]
    place = os.path.join(cache_folder(), "environments", "%s-py%s" % (digest[7:39], version))

    def make(aside):
        began = time.monotonic()
        say(line=["millrace", "Making the environment of the locked requirements; it is kept on this node for the next steps."])
        uv = find_uv()
        made = os.path.join(aside, "env")
        lock = os.path.join(aside, "requirements.lock")
        millrace.fetch(digest, lock)
        tool([uv, "venv", "--relocatable", "--no-project", "--python", sys.executable, made], "The environment can't be made.")
        python = os.path.join(made, "bin", "python")
        tool(
            [uv, "pip", "install", "--python", python, "--require-hashes", "--compile-bytecode", "-r", lock],
            "The requirements can't be installed.",
            {**registry_settings(), "UV_NO_PROGRESS": "1"},
        )
        say(line=["millrace", "The environment is ready after %.1f s." % (time.monotonic() - began)])

    return os.path.join(made_once(place, make), "env", "bin", "python")


def resolve(command, note, programs):
    def replaced(match):
        name = match.group(1)
        if name in programs:
            return programs[name]
        kind, _, key = name.partition(".")
        singular = kind[:-1] if kind.endswith("s") else kind
        if kind not in note or key not in note[kind]:
            if name == "python":
                raise Problem("{python} stands for the step's interpreter, and it has none.")
            raise Problem('The command names {%s}, and the step has no %s "%s".' % (name, singular, key))
        given = note[kind][key]
        if kind == "outputs":
            return given["path"]
        if kind == "params":
            return text_of(given)
        if "items" in given:
            return given["folder"]
        if given["type"] == "value":
            return text_of(given["value"])
        return given["paths"][0] if len(given["paths"]) == 1 else given["folder"]

    return [re.sub(r"\{(python|step|(?:inputs|outputs|params)\.[A-Za-z0-9_-]+)\}", replaced, argument) for argument in command]


def text_of(value):
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


# The process -------------------------------------------------------------------------------------------------------------------------------------------------


def read_text(place):
    try:
        with open(place, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def living(pid):
    """A process and all below it: (pid, bytes, ticks) of each."""
    pages = os.sysconf("SC_PAGE_SIZE")
    found, queue, seen = [], [pid], set()
    while queue:
        one = queue.pop()
        text = read_text("/proc/%d/stat" % one)
        if one in seen or text is None:
            continue
        seen.add(one)
        fields = text[text.rindex(")") + 2 :].split()
        if fields[0] in "ZX":
            continue
        found.append((one, int(fields[21]) * pages, sum(int(fields[i]) for i in (11, 12, 13, 14))))
        queue.extend(children(one))
    return found


def children(pid):
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return []
    return [int(c) for t in threads for c in (read_text("/proc/%d/task/%s/children" % (pid, t)) or "").split()]


def shared_once(processes):
    """Memory in which what several processes share is counted once; None where the kernel does not say."""
    total = 0
    for pid, _, _ in processes:
        match = re.search(r"^Pss:\s+(\d+) kB", read_text("/proc/%d/smaps_rollup" % pid) or "", re.M)
        if match is None:
            return None
        total += int(match.group(1)) * 1024
    return total


def folder_bytes(folder):
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:
                pass
    return total


class Run:
    """The process of the step, until it is over."""

    def __init__(self, spec, folder, command, project, environment):
        self.spec, self.folder = spec, folder
        # Beside what it was given.
        self.most_bytes = folder_bytes(folder) + spec["limits"]["folderBytes"]
        self.ended = None
        self.peak = self.cpu = 0
        self.logged = 0
        self.last = {"stdout": [], "stderr": []}
        self.report = {}
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        environment["MILLRACE_REPORT_FD"] = str(writing)
        try:
            self.process = subprocess.Popen(
                command,
                cwd=project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(writing,),
                preexec_fn=end_with_parent,
            )
        except FileNotFoundError:
            raise Problem('The program "%s" is not there: it is neither a file of the project nor on the PATH of %s.' % (command[0], socket.gethostname())) from None
        except PermissionError:
            raise Problem('The program "%s" can\'t be run: the system does not allow it, as for a file that is no program.' % command[0]) from None
        finally:
            os.close(writing)
        self.readers = [
            threading.Thread(target=self.lines, args=(self.process.stdout, "stdout"), daemon=True),
            threading.Thread(target=self.lines, args=(self.process.stderr, "stderr"), daemon=True),
            threading.Thread(target=self.reports, args=(os.fdopen(reading, "rb"),), daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def lines(self, stream, name):
        for raw in iter(lambda: stream.readline(65536), b""):
            limit = self.spec["limits"]["logBytes"]
            before = self.logged
            self.logged += len(raw)
            if self.logged <= limit:
                text = raw.decode(errors="replace").rstrip("\r\n").replace(self.folder + "/project/", "").replace(self.folder + "/", "")
                if text.strip():
                    self.last[name] = (self.last[name] + [text])[-30:]
                say(line=[name, text])
            elif before <= limit:
                say(line=[name, "… what comes after %d bytes is dropped." % limit])

    def reports(self, stream):
        for raw in iter(lambda: stream.readline(65536), b""):
            try:
                told = json.loads(raw)
            except ValueError:
                continue
            if isinstance(told, dict):
                self.report.update({k: told[k] for k in ("error", "usage") if k in told})
                say(report=told)

    def kill(self, number):
        try:
            os.killpg(self.process.pid, number)
        except OSError:
            pass
        # What left the group has become a child of ours, or is below one.
        for pid, _, _ in living(os.getpid())[1:]:
            try:
                if os.getpgid(pid) != os.getpgid(0):
                    os.kill(pid, number)
            except OSError:
                pass

    def end(self, why, at_once=False):
        if self.ended is None:
            self.ended = why
            if not at_once:
                self.kill(signal.SIGTERM)
                until = time.monotonic() + PATIENCE_S
                while self.process.poll() is None and time.monotonic() < until:
                    time.sleep(0.05)
            self.kill(signal.SIGKILL)

    def wait(self, cancelled):
        limit = self.spec["resources"].get("memoryBytes")
        until = time.monotonic() + self.spec["timeoutMs"] / 1000
        next_folder = time.monotonic() + FOLDER_LOOK_S
        next_usage = time.monotonic() + 1
        ticks = os.sysconf("SC_CLK_TCK")
        while self.process.poll() is None:
            now = time.monotonic()
            processes = living(self.process.pid)
            memory = sum(size for _, size, _ in processes)
            if limit is not None and memory > limit * 0.9 and len(processes) > 1:
                memory = shared_once(processes) or memory
            self.peak = max(self.peak, memory)
            self.cpu = max(self.cpu, sum(t for _, _, t in processes) / ticks)
            if limit is not None and memory > limit:
                self.end("memory", at_once=True)
            elif cancelled.is_set():
                self.end("cancelled")
            elif now > until:
                self.end("timeout")
            if now > next_folder:
                if folder_bytes(self.folder) > self.most_bytes:
                    self.end("folder", at_once=True)
                next_folder = time.monotonic() + max(FOLDER_LOOK_S, 20 * (time.monotonic() - now))
            if now > next_usage:
                say(usage={"memoryBytes": memory, "cpuSeconds": self.cpu})
                next_usage = now + 1
            time.sleep(LOOK_S)
        self.kill(signal.SIGKILL)
        for reader in self.readers:
            reader.join(2)
        told = self.report.get("usage")
        if isinstance(told, dict):
            self.peak = max(self.peak, told.get("peakMemoryBytes", 0))
            self.cpu = max(self.cpu, told.get("cpuSeconds", 0))


def libc():
    return ctypes.CDLL(None, use_errno=True) if platform.system() == "Linux" else None


_libc = libc()


def end_with_parent():
    """PR_SET_PDEATHSIG: where this program is killed, the step is too."""
    if _libc is not None:
        _libc.prctl(1, signal.SIGKILL, 0, 0, 0)


def oom_kills():
    match = re.search(r"^oom_kill (\d+)$", read_text("/proc/vmstat") or "", re.M)
    return int(match.group(1)) if match else 0


def run(millrace, spec, cancelled):
    folder = os.path.realpath(tempfile.mkdtemp(prefix="millrace-"))
    try:
        python = None
        if spec.get("python") is not None:
            wanted = spec["python"].get("requirements")
            python = environment_python(millrace, wanted["digest"]) if wanted else sys.executable
        helper = helper_folder(millrace, spec["helper"])
        project, note = place_job(millrace, spec, folder)
        programs = {"step": os.path.join(helper, "millrace", "_step.py"), **({"python": python} if python else {})}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_JOB_")}
        environment["MILLRACE_STEP_FILE"] = os.path.join(folder, "step.json")
        if python:
            environment["PATH"] = os.path.dirname(python) + os.pathsep + environment.get("PATH", "")
            environment["PYTHONPATH"] = helper
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        kills = oom_kills()
        process = Run(spec, folder, resolve(spec["command"], note, programs), project, environment)
        process.wait(cancelled)
        # What ended between two looks may have grown all the same.
        if process.ended is None and folder_bytes(folder) > process.most_bytes:
            process.ended = "folder"
        code = process.process.returncode
        end = {
            "code": code if code >= 0 else None,
            "signal": signal.Signals(-code).name if code < 0 else None,
            "ended": process.ended,
            "killedForMemory": process.ended is None and code in (-9, 137) and oom_kills() > kills,
            "peakMemoryBytes": process.peak,
            "cpuSeconds": process.cpu,
            "lastLines": process.last["stderr"] or process.last["stdout"],
            "error": process.report.get("error"),
        }
        if code == 0 and process.ended is None:
            try:
                end["outputs"] = take_outputs(millrace, note, spec["limits"])
            except Problem as problem:
                end["problem"] = str(problem)
        return end
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    cancelled = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: cancelled.set())
    if _libc is not None:
        # PR_SET_CHILD_SUBREAPER: what a step leaves behind comes to this program, which ends it.
        _libc.prctl(36, 1, 0, 0, 0)
    url, token = os.environ["MILLRACE_JOB_URL"], os.environ["MILLRACE_JOB_TOKEN"]
    millrace = Millrace(url, token)
    try:
        spec = json.loads(millrace.read(os.environ["MILLRACE_JOB_SPEC"]))
        end = run(millrace, spec, cancelled)
    except Problem as problem:
        end = {"problem": str(problem)}
    except Exception as error:
        import traceback

        traceback.print_exc()
        end = {"problem": "The step can't be run on %s: %s: %s" % (socket.gethostname(), type(error).__name__, error)}
    end["host"] = socket.gethostname()
    handle, place = tempfile.mkstemp()
    with os.fdopen(handle, "w") as file:
        json.dump(end, file)
    try:
        digest = millrace.put(place)["digest"]
        # Where the cluster keeps a word of what is over, it is told there too: logs get lost.
        told = os.environ.get("MILLRACE_JOB_RESULT_FILE")
        if told:
            with open(told, "w", encoding="utf-8") as file:
                file.write(digest)
        say(end=digest)
    finally:
        os.unlink(place)


if __name__ == "__main__":
    main()
