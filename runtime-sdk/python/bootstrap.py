"""The Python runtime: connects to its agent, loads the handler, runs it for every invocation.

It speaks the frames of proto/frames.md on the Unix socket $ROUSE_RUNTIME_SOCKET. The main thread reads;
at concurrency 1 it also runs the handler, above that a pool of threads does. A cold start waits for
this file: what most functions never need (json, traceback, threading, asyncio) is imported on first use.

With $ROUSE_PARKED it is started before there is a function for it: what functions are likely to need is
imported, and then it waits in HELLO for the answer, which brings the function's environment. With
$ROUSE_ZYGOTE it is not started at all, but a fork of one that has no function and never will (zygote()).
"""
import os
import sys
import time

import _socket
import _struct
import _thread

HELLO, INVOKE, BODY, END, RESPONSE, ERROR, CREDIT, CANCEL, HOOK, LOG, FORK, METRIC = range(1, 13)
FIN, TEXT, BYTES, ANSWER, FATAL = 1, 2, 4, 8, 16
PAYLOAD_MAX = 1 << 20
LOG_LINE_MAX = 64 << 10
ERROR_TEXT_MAX = 64 << 10
METRICS_MAX, METRIC_NAME_MAX, METRIC_VALUE_MAX = 16, 63, 1e18

HEADER = _struct.Struct("<IBBHQ")
INVOKE_FIXED = _struct.Struct("<QHHI")
HOOK_FIXED = _struct.Struct("<QB7s")


class ProtocolError(Exception):
    """The agent sent what is no frame, or a frame where none may be."""


class LoadError(Exception):
    """The handler cannot be loaded; `kind` is the errorType."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


# ---------------------------------------------------------------- frames


def encode(kind, flags, ident, payload=b""):
    return HEADER.pack(len(payload), kind, flags, 0, ident) + payload


def decode_header(header):
    """(length, type, flags, id) of the 16 bytes."""
    length, kind, flags, zero, ident = HEADER.unpack(header)
    if zero or not kind:
        raise ProtocolError("not a frame")
    if length > PAYLOAD_MAX:
        raise ProtocolError("a frame over 1 MiB")
    return length, kind, flags, ident


def decode_invoke(payload):
    """(deadline in epoch ms, request id, trace, the event's first bytes)."""
    if len(payload) < INVOKE_FIXED.size:
        raise ProtocolError("a short INVOKE")
    deadline, id_size, trace_size, zero = INVOKE_FIXED.unpack_from(payload)
    texts = INVOKE_FIXED.size + id_size
    if zero or texts + trace_size > len(payload):
        raise ProtocolError("a malformed INVOKE")
    request_id = payload[INVOKE_FIXED.size : texts].decode("utf-8", "replace")
    trace = payload[texts : texts + trace_size].decode("utf-8", "replace")
    return deadline, request_id, trace, payload[texts + trace_size :]


def decode_hook(payload):
    """(deadline in epoch ms, which hook, its name in the spec)."""
    if len(payload) <= HOOK_FIXED.size:
        raise ProtocolError("a short HOOK")
    deadline, hook, zero = HOOK_FIXED.unpack_from(payload)
    if zero != bytes(7):
        raise ProtocolError("a malformed HOOK")
    return deadline, hook, payload[HOOK_FIXED.size :].decode("utf-8", "replace")


class Channel:
    """The connection. One thread reads; any thread sends, whole messages at a time."""

    def __init__(self, path):
        self.path = path
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self.socket.connect(path)
        self.reader = open(self.socket.fileno(), "rb", buffering=65536, closefd=False)
        self.lock = _thread.allocate_lock()

    def receive(self):
        """(type, flags, id, payload), or None at the end of the connection."""
        header = self.reader.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        length, kind, flags, ident = decode_header(header)
        payload = self.reader.read(length) if length else b""
        return None if len(payload) < length else (kind, flags, ident, payload)

    def receive_outputs(self):
        """A header and the descriptors beside it; nothing has been received before."""
        header, beside, _, _ = self.socket.recvmsg(HEADER.size, _socket.CMSG_SPACE(OUTPUTS.size))
        outputs = ()
        for level, kind, data in beside:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS and len(data) == OUTPUTS.size:
                outputs = OUTPUTS.unpack(data)
        return header, outputs

    def close(self):
        self.reader.close()
        self.socket.close()

    def send(self, data):
        with self.lock:
            self.socket.sendall(data)

    def send_result(self, ident, flags, body):
        """A RESPONSE, and BODY frames if it needs more than one."""
        first, rest = body[:PAYLOAD_MAX], memoryview(body)[PAYLOAD_MAX:]
        self.send(encode(RESPONSE, flags | (0 if rest else FIN), ident, first))
        while rest:
            part, rest = rest[:PAYLOAD_MAX], rest[PAYLOAD_MAX:]
            self.send(encode(BODY, 0 if rest else FIN, ident, bytes(part)))


# ---------------------------------------------------------------- JSON
# json itself imports re, enum and functools: half of the interpreter's own start. The C halves of it need
# none of them; whatever they do not take as it is, and a Python without them, goes to json.


class _Dialect:
    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.get
    memo = {}


def _refuse(value):
    raise TypeError(f"a {type(value).__name__} is not JSON serializable")


try:
    from _json import encode_basestring, make_encoder, make_scanner

    _scan = make_scanner(_Dialect)

    def _write(value):
        chunks = make_encoder({}, _refuse, encode_basestring, None, ":", ",", False, False, False)
        return "".join(chunks(value, 0))

except (ImportError, TypeError):
    _scan = None

    def _write(value):
        import json

        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse_json(data):
    text = str(data, "utf-8")
    if _scan is not None and text[:1] in ("{", "["):
        try:
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        except StopIteration:
            pass
    import json

    return json.loads(text)


def to_json(value):
    return _write(value).encode()


# ---------------------------------------------------------------- errors


def error_payload(kind, message, trace=()):
    """ERROR's JSON, kept well inside one frame whatever an exception says."""
    lines, size = [], 0
    for line in trace:
        size += len(line)
        if size > ERROR_TEXT_MAX:
            lines.append("...")
            break
        lines.append(line)
    message = message[:ERROR_TEXT_MAX].encode("utf-8", "replace").decode()
    lines = [line.encode("utf-8", "replace").decode() for line in lines]
    return to_json({"errorType": kind, "errorMessage": message, "stackTrace": lines})


def describe(error, kind=None):
    """ERROR's JSON for an exception, without the frames of this file."""
    import traceback

    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_not_shown)]
    lines = [line.rstrip("\n") for line in traceback.format_list(frames)]
    if isinstance(error, SyntaxError) and not frames:
        lines = [line.rstrip("\n") for line in traceback.format_exception_only(error)]
    try:
        message = str(error)
    except Exception:  # a __str__ of the function's own
        message = "(no message: its __str__ failed)"
    return error_payload(kind or type(error).__name__, message, lines)


def exit_status(error):
    """What the interpreter would make of a SystemExit."""
    if error.code is None:
        return 0
    return error.code & 255 if isinstance(error.code, int) else 1


_not_shown = (sys._getframe().f_code.co_filename, "<frozen importlib.")


# ---------------------------------------------------------------- what a handler sees


class Context:
    """The second argument of a handler."""

    def __init__(self, runtime, ident, deadline, request_id, trace):
        hello = runtime.hello
        self._runtime, self._id = runtime, ident
        self.request_id = self.aws_request_id = request_id
        self.trace_id = trace
        self.deadline = deadline  # epoch milliseconds
        self.function_name = hello.get("function", "")
        self.namespace = hello.get("namespace", "")
        self.function_version = self.revision = hello.get("revision", "")
        self.memory_limit_in_mb = hello.get("memory", 0) >> 20

    def get_remaining_time_in_millis(self):
        return max(0, self.deadline - time.time_ns() // 1_000_000)

    def log(self, *words):
        """Writes to the log under this invocation's request id, from any thread."""
        self._runtime.log(self._id, " ".join(map(str, words)))

    def metric(self, name, value):
        """Sets a gauge of this instance, from any thread and at any time: the last value wins. ValueError names the
        limit that it is over: at most 16 names of the form [a-z_][a-z0-9_]{0,62}, values from 0 to 1e18."""
        self._runtime.metric(name, value)


def is_metric_name(name):
    plain = isinstance(name, str) and name.isascii() and 0 < len(name) <= METRIC_NAME_MAX
    return plain and name.isidentifier() and name == name.lower()


class LogStream:
    """sys.stdout and sys.stderr above concurrency 1: a line becomes a LOG frame of the thread's invocation."""

    def __init__(self, runtime, stream):
        self._runtime, self._stream = runtime, stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        current = self._runtime.current
        ident = getattr(current, "id", 0)
        if not ident:
            return self._stream.write(text)
        *lines, rest = (getattr(current, "partial", "") + text).split("\n")
        for line in lines:
            self._runtime.log(ident, line)
        if len(rest) > LOG_LINE_MAX:
            self._runtime.log(ident, rest)
            rest = ""
        current.partial = rest
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        self._stream.flush()


# ---------------------------------------------------------------- parked
# Of a parked interpreter nobody waits for its start, but its memory is its own: little is imported ahead.
# What a zygote has imported all its forks share, and they only pay for what they change of it.

AHEAD = ("json", "threading", "traceback")
AHEAD_OF_ALL = AHEAD + (
    "argparse", "asyncio", "base64", "bisect", "collections.abc", "concurrent.futures.thread", "contextlib", "copy",
    "csv", "ctypes", "dataclasses", "datetime", "decimal", "email.message", "email.parser", "enum", "functools", "glob",
    "gzip", "hashlib", "heapq", "hmac", "html", "http.client", "http.cookies", "inspect", "io", "ipaddress", "itertools",
    "logging", "math", "mimetypes", "operator", "pathlib", "pickle", "platform", "pprint", "queue", "random", "re",
    "secrets", "shutil", "signal", "socket", "ssl", "statistics", "string", "struct", "subprocess", "tempfile", "textwrap",
    "typing", "unicodedata", "urllib.parse", "urllib.request", "uuid", "warnings", "weakref", "xml.etree.ElementTree",
    "zipfile", "zlib", "zoneinfo",
)


def import_ahead(names):
    """Imports what is there of it. The top-level names that it brought, of modules that a function's may replace."""
    before = set(sys.modules)
    for name in names:
        try:
            __import__(name)
        except ImportError:
            pass
    return {name.partition(".")[0] for name in sys.modules.keys() - before}


def zygote(descriptors):
    """Makes forks of this process as the launcher asks for them, and returns in each: it has a sandbox of its own
    and no privilege. `descriptors`: of the library that does it, and of the socket that the orders come on."""
    library, orders = map(int, descriptors.split(","))
    ahead = import_ahead(AHEAD_OF_ALL)
    import ctypes
    import gc

    serve = ctypes.PyDLL(f"/proc/self/fd/{library}").rouse_zygote_serve
    os.close(library)
    gc.collect()
    gc.freeze()  # a collection in a fork leaves these objects, and the pages that they are in, alone
    ctypes.pythonapi.PyOS_BeforeFork()
    if not serve(orders):
        os._exit(0)
    # As after os.fork(): locks anew, this is the main thread, random has a seed of its own.
    ctypes.pythonapi.PyOS_AfterFork_Child()
    return ahead


def rehearse():
    """What the answer will make this process do, while nobody waits: a fork pays for each page that it changes."""
    os.environ.update(parse_json(to_json(dict(os.environ))))
    time.tzset()
    sys.path.insert(0, sys.prefix)
    try:
        __import__("no module of this name")
    except ImportError:
        pass
    sys.path_importer_cache.pop(sys.path.pop(0), None)
    exec(compile("def handler(event, context):\n    return {'a': f'{event}'}\n", "rehearsal", "exec"), {})


def unpark(environment, task_root, ahead):
    """Makes of this process what a start with that environment, in that directory, would have made."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(task_root)  # what was there when the process started is covered by the code
    # The function's own modules come before the library's, unless the interpreter itself has loaded these. Only
    # where there are some is sys.modules looked through: each name that is looked at is a page that is copied.
    own = ahead & {name.partition(".")[0] for name in os.listdir(task_root)}
    for name in [name for name in sys.modules if name.partition(".")[0] in own] if own else ():
        del sys.modules[name]
    if "logging" in sys.modules:
        sys.modules["logging"]._startTime = time.time()


# ---------------------------------------------------------------- forks
# spec.start: fork. The template is this process when its initializer has ended; it answers no invocation any more.

OUTPUTS = _struct.Struct("ii")


def threads():
    """All of this process, also those that Python does not know."""
    return len(os.listdir("/proc/self/task"))


def threads_message():
    names = ""
    if "threading" in sys.modules:
        names = ": " + ", ".join(t.name for t in sys.modules["threading"].enumerate())[:200]
    return f"{threads() - 1} threads run beside the main one, and a fork would not have them{names}"


class Children:
    """What the template forks is reaped by the kernel itself, at once: also while the template is frozen or throttled."""

    def __init__(self):
        import _signal

        self.number = _signal.SIGCHLD
        self.signal = _signal.signal
        self.before = self.signal(self.number, _signal.SIG_IGN)

    def leave(self):
        """SIGCHLD is the function's again."""
        self.signal(self.number, self.before if self.before is not None else 0)


def seed():
    """What os.fork()'s own hooks do not: random is seeded by them, urandom, uuid, secrets and ssl need nothing."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        try:
            numpy_random.seed()
        except Exception:
            pass


# ---------------------------------------------------------------- the runtime


class Runtime:
    def __init__(self, channel, hello, task_root):
        self.channel = channel
        self.hello = hello
        self.task_root = task_root
        self.concurrency = max(1, hello.get("concurrency", 1))
        self.pid = os.getpid()
        self.handler = None
        self.bodies = {}  # id -> [INVOKE's fields, chunks of the event]: not complete yet
        self.current = None  # thread-local: id and the line it has begun
        self.work = None
        self.threads = 0
        self.children = None  # of a template
        self.metrics = {}  # as the agent has them
        self.metrics_lock = _thread.allocate_lock()

    def load(self):
        sys.path.insert(0, self.task_root)
        self.handler = self.find("handler", self.hello.get("handler", ""))

    @staticmethod
    def find(what, name):
        """The function that `name` is for: "module.function"."""
        module_name, dot, function = name.rpartition(".")
        module_name = module_name.replace("/", ".").lstrip(".")
        if not dot or not module_name or not function:
            raise LoadError("Runtime.MalformedHandlerName", f"{what} '{name}' is not of the form module.function")
        try:
            __import__(module_name)
        except ImportError as e:
            message = f"cannot import module '{module_name}': {e}"
            raise LoadError("Runtime.ImportModuleError", message).with_traceback(e.__traceback__) from None
        found = getattr(sys.modules[module_name], function, None)
        if not callable(found):
            raise LoadError("Runtime.HandlerNotFound", f"module '{module_name}' has no function '{function}'")
        return found

    def start_threads(self):
        """Above concurrency 1: each of the first `concurrency` invocations brings its thread."""
        import threading
        from _queue import SimpleQueue

        self.current = threading.local()
        self.work = SimpleQueue()
        self.thread_class = threading.Thread
        sys.stdout = LogStream(self, sys.stdout)
        sys.stderr = LogStream(self, sys.stderr)

    def log(self, ident, line):
        data = line.encode("utf-8", "replace")
        for at in range(0, len(data) or 1, LOG_LINE_MAX):
            self.channel.send(encode(LOG, 0, ident, data[at : at + LOG_LINE_MAX]))

    def metric(self, name, value):
        number = float(value)
        if not is_metric_name(name):
            raise ValueError(f"a metric's name is [a-z_][a-z0-9_]{{0,62}}, not {name!r}")
        if name in ("concurrency", "requests_per_second"):
            raise ValueError(f"{name} is the platform's own")
        if not 0 <= number <= METRIC_VALUE_MAX:
            raise ValueError(f"a metric's value is a number from 0 to 1e18, not {value!r}")
        with self.metrics_lock:
            if name not in self.metrics and len(self.metrics) >= METRICS_MAX:
                raise ValueError("an instance has at most 16 metrics")
            if self.metrics.get(name) != number:
                self.channel.send(encode(METRIC, 0, 0, _struct.pack("<d", number) + name.encode()))
                self.metrics[name] = number

    def serve(self):
        while True:
            frame = self.channel.receive()
            if frame is None:
                return
            kind, flags, ident, payload = frame
            if kind == INVOKE:
                if self.children is not None:
                    self.no_template()
                if ident == 0 or ident in self.bodies:
                    raise ProtocolError("an INVOKE with an id that is taken")
                deadline, request_id, trace, event = decode_invoke(payload)
                context = Context(self, ident, deadline, request_id, trace)
                if flags & FIN:
                    self.dispatch(ident, context, event)
                elif len(self.bodies) >= self.concurrency:
                    raise ProtocolError("more invocations than were credited")
                else:
                    self.bodies[ident] = (context, [event])
            elif kind in (BODY, END) and ident in self.bodies:
                context, chunks = self.bodies[ident]
                chunks.append(payload)
                if kind == END or flags & FIN:
                    del self.bodies[ident]
                    self.dispatch(ident, context, b"".join(chunks))
            elif kind == HOOK:
                self.run_hook(ident, payload)
            elif kind == FORK:
                self.fork(ident)

    def fork(self, ident):
        """A child that waits to be an instance. Returns in both."""
        if threads() > 1 or self.bodies:
            self.channel.send(encode(ERROR, 0, ident, error_payload("Runtime.CannotFork", threads_message())))
            return
        if self.children is None:
            import gc

            gc.collect()
            gc.freeze()  # the children's collections leave what is shared alone
            self.children = Children()
        self.flush(0)
        if os.fork():
            return
        try:
            os.setsid()  # signals to its process group are its own
            self.no_template()
            self.pid = os.getpid()
            seed()
            if not self.reconnect(ident):
                os._exit(0)
        except BaseException as e:
            print(f"rouse: a fork came to nothing: {e!r}", file=sys.__stderr__, flush=True)
            os._exit(1)

    def no_template(self):
        """A child, or a template that is to be an instance after all."""
        self.children.leave()
        self.children = None

    def reconnect(self, ident):
        """A connection, outputs and an environment of the child's own. False: it is not wanted any more."""
        self.channel.close()
        self.channel = Channel(self.channel.path)
        self.metrics = {}  # those were the template's
        hello = {"protocol": 1, "runtime": "python3", "pid": self.pid, "fork": ident}
        self.channel.send(encode(HELLO, 0, 0, to_json(hello)))
        header, outputs = self.channel.receive_outputs()
        if not header:
            return False
        length, kind, _, _ = decode_header(header)
        if kind != FORK or len(outputs) != 2:
            raise ProtocolError("a child's first frame is not FORK with its outputs")
        for number, output in enumerate(outputs, 1):
            os.dup2(output, number)
            os.close(output)
        os.environ.update(parse_json(self.channel.reader.read(length)).get("environment", {}))
        frame = self.channel.receive()
        if frame is None or frame[0] != HELLO:
            return False
        self.hello = parse_json(frame[3])
        self.channel.send(encode(CREDIT, 0, 0, _struct.pack("<I", self.concurrency)))
        return True

    def dispatch(self, ident, context, event):
        if self.work is None:
            self.run(ident, context, event)
            return
        self.work.put((ident, context, event))
        if self.threads < self.concurrency:
            self.threads += 1
            self.thread_class(target=self.worker, daemon=True).start()

    def worker(self):
        while True:
            ident, context, event = self.work.get()
            self.current.id, self.current.partial = ident, ""
            self.run(ident, context, event)
            self.current.id = 0

    def run_hook(self, ident, payload):
        """A hook of spec.lifecycle, on the main thread: no invocation runs beside it."""
        deadline, _, name = decode_hook(payload)
        stage = "Runtime.NoSuchHook"
        if self.current is not None:
            self.current.id, self.current.partial = ident, ""
        try:
            hook = self.find("hook", name)
            stage = None
            result = hook(Context(self, ident, deadline, "", ""))
            if hasattr(result, "__await__"):
                import asyncio

                asyncio.run(result)
        except SystemExit as e:
            self.exit(ident, e, "hook")
        except BaseException as e:
            answer = encode(ERROR, 0, ident, describe(e, stage))
        else:
            answer = encode(END, 0, ident)
        self.flush(ident)
        if self.current is not None:
            self.current.id = 0
        self.channel.send(answer)

    def exit(self, ident, error, what):
        """The function ends the process, as SystemExit does it."""
        self.flush(ident)
        if os.getpid() == self.pid:  # else a child that the function forked
            message = f"the {what} ended the process with exit status {exit_status(error)}"
            self.channel.send(encode(ERROR, FATAL, ident, error_payload("Runtime.ExitError", message)))
        os._exit(exit_status(error))

    def run(self, ident, context, event):
        """One invocation, from the event's bytes to RESPONSE or ERROR."""
        stage = "Runtime.UnmarshalError"
        try:
            argument = parse_json(event) if event else None
            stage = None
            result = self.handler(argument, context)
            if hasattr(result, "__await__"):
                import asyncio

                result = asyncio.run(result)
            stage = "Runtime.MarshalError"
            flags, body = self.encode_result(result)
        except SystemExit as e:
            self.exit(ident, e, "handler")
        except BaseException as e:
            payload = describe(e, stage)
            self.flush(ident)
            self.channel.send(encode(ERROR, 0, ident, payload))
        else:
            self.flush(ident)
            self.channel.send_result(ident, flags, body)

    @staticmethod
    def encode_result(result):
        if isinstance(result, str):
            return TEXT, result.encode()
        if isinstance(result, (bytes, bytearray, memoryview)):
            return BYTES, bytes(result)
        if isinstance(result, dict) and "statusCode" in result:
            return ANSWER, to_json(result)
        return 0, to_json(result)

    def flush(self, ident):
        """What the handler printed leaves before its answer does."""
        if getattr(self.current, "partial", ""):
            self.log(ident, self.current.partial)
            self.current.partial = ""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass  # the function replaced or closed it


def main():
    parked, ahead = "ROUSE_PARKED" in os.environ, set()
    if "ROUSE_ZYGOTE" in os.environ:
        ahead = zygote(os.environ["ROUSE_ZYGOTE"])
    elif parked:
        ahead = import_ahead(AHEAD)
    channel = Channel(os.environ["ROUSE_RUNTIME_SOCKET"])
    sys.stdout.reconfigure(line_buffering=True)
    hello = {"protocol": 1, "runtime": "python3", "pid": os.getpid()}
    channel.send(encode(HELLO, 0, 0, to_json({**hello, "parked": True} if parked else hello)))
    if parked:
        rehearse()
    frame = channel.receive()
    if frame is None:
        return 0
    if frame[0] != HELLO:
        raise ProtocolError("the first frame is not HELLO")
    hello = parse_json(frame[3])
    environment = hello.pop("environment", None if parked else os.environ)
    if environment is None:
        raise ProtocolError("a HELLO without an environment for a parked interpreter")
    runtime = Runtime(channel, hello, environment.get("ROUSE_TASK_ROOT", "/var/task"))
    try:
        if parked:
            unpark(environment, runtime.task_root, ahead)
        if runtime.concurrency > 1:
            runtime.start_threads()
        runtime.load()
    except SystemExit as e:
        message = f"the module ended the process with exit status {exit_status(e)} while it was loaded"
        failure = error_payload("Runtime.ExitError", message)
    except LoadError as e:
        failure = describe(e, e.kind)
    except SyntaxError as e:
        failure = describe(e, "Runtime.UserCodeSyntaxError")
    except BaseException as e:
        failure = describe(e)
    else:
        channel.send(encode(CREDIT, 0, 0, _struct.pack("<I", runtime.concurrency)))
        runtime.serve()
        return 0
    runtime.flush(0)
    channel.send(encode(ERROR, FATAL, 0, failure))
    return 1


if __name__ == "__main__":
    try:
        status = main()
    except (ProtocolError, OSError) as e:
        print(f"rouse: the connection to the agent broke: {e}", file=sys.__stderr__)
        status = 1
    sys.__stdout__.flush()
    os._exit(status)
