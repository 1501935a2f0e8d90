"""Runs a step's script: python .../millrace/_step.py <script>. Ends with the server that started it, also where that one is killed."""

import os
import runpy
import signal
import sys
import threading
import time
import traceback


def _end_with(server: int) -> None:
    direct = os.getppid() == server
    while os.getppid() == server if direct else _lives(server):
        time.sleep(0.25)
    # Whatever the script started belongs to its group where it leads one.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def main() -> None:
    script = sys.argv[1]
    server = os.environ.pop("MILLRACE_SERVER_PID", None)
    if server is not None and hasattr(os, "getpgrp"):
        threading.Thread(target=_end_with, args=(int(server),), daemon=True).start()
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:  # SystemExit and KeyboardInterrupt end as they always do.
        traceback.print_exception(type(error), error, _of_script(error.__traceback__, script))
        sys.stderr.flush()
        sys.exit(1)


def _of_script(trace, script):
    """The part of a traceback that begins in the script; all of it where none of it does, as for a syntax error."""
    frame = trace
    while frame is not None and frame.tb_frame.f_code.co_filename != script:
        frame = frame.tb_next
    return frame


if __name__ == "__main__":
    main()
