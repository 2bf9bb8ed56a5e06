"""What the suites that drive the built program share."""
import socket
import time
import urllib.error
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to the caller, who wants to see where it leads."""

    def redirect_request(self, *arguments):
        return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url, process, seconds=60):
    """Returns once the server at `url` answers, with any status. Ends the run where `process` ends first; the deadline
    only bounds a server that is broken."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"FAILED: {process.args[0]} {process.args[1]} ended with {process.returncode}")
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except urllib.error.HTTPError:
            return b""
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"FAILED: nothing answers at {url}")
