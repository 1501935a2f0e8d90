"""Runs a step's script, or calls its function: python .../millrace/_step.py <script | module:function>.

Every step of every run begins here, so nothing is imported before it is needed.
"""

import os
import sys


def _report(what):
    descriptor = os.environ.get("MILLRACE_REPORT_FD")
    if descriptor is not None:
        import json

        try:
            os.write(int(descriptor), (json.dumps(what) + "\n").encode())
        except (OSError, ValueError):
            pass


def _usage():
    """Peak memory (bytes) of the largest process and CPU seconds of all, as the kernel has counted them."""
    try:
        import resource
    except ImportError:
        return
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    descriptor = os.environ.get("MILLRACE_REPORT_FD")
    if descriptor is not None:
        peak = max(own.ru_maxrss, children.ru_maxrss) * unit
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        try:
            os.write(int(descriptor), b'{"usage": {"peakMemoryBytes": %d, "cpuSeconds": %f}}\n' % (peak, cpu))
        except OSError:
            pass


def _run(script):
    with open(script, "rb") as source:
        code = compile(source.read(), script, "exec")
    # The script is the program: what it pickles, and what it starts by multiprocessing, finds it there.
    main = type(sys)("__main__")
    main.__file__ = script
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


def main():
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    module, colon, function = script.partition(":")
    calls = colon == ":" and "/" not in script and not script.endswith(".py")
    sys.path[0] = os.getcwd() if calls else os.path.dirname(os.path.abspath(script))
    try:
        if calls:
            from millrace._call import call

            call(module, function)
        else:
            _run(script)
    except Exception as error:  # SystemExit and KeyboardInterrupt end as they always do.
        import traceback

        last = traceback.format_exception_only(type(error), error)
        _report({"error": "".join(last).strip()[:2000]})
        traceback.print_exception(type(error), error, _of_user(error.__traceback__))
        sys.stderr.flush()
        sys.exit(1)
    finally:
        _usage()


def _of_user(trace):
    """The part of a traceback that begins in what the user wrote; all of it where none of it does, as for a syntax error."""
    own = os.path.dirname(os.path.abspath(__file__))
    frame = trace
    while frame is not None and (frame.tb_frame.f_code.co_filename.startswith(own) or frame.tb_frame.f_code.co_filename.startswith("<frozen importlib")):
        frame = frame.tb_next
    return frame


if __name__ == "__main__":
    main()
