"""What the benchmarks of the pipeline share: the server of documents, and a configuration that syncs from it."""
import pathlib
import sqlite3
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRATCH = ROOT / ".build" / "benchmark-pipeline"


def compiled(name, *libraries):
    target = SCRATCH / name
    subprocess.run(["cc", "-O2", "-Wall", "-o", target, HERE / f"{name}.c", *libraries], check=True)
    return target


class Server:
    def __init__(self):
        self.process = subprocess.Popen([compiled("server")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.base = f"http://127.0.0.1:{self.port}"
        self.revision = 0

    def show(self, *, change, tags):
        self.revision += change
        urllib.request.urlopen(f"{self.base}/set?revision={self.revision}&tags={int(tags)}").read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def configure(folder, server, more="", concurrency=64):
    file = pathlib.Path(folder) / "rollcall.yaml"
    file.write_text(f"""
database: {{path: "{folder}/rollcall.sqlite"}}
vault: {{key_file: "{folder}/master.key"}}
providers_directory: "{HERE}/providers.d"
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
sync: {{concurrency: {concurrency}}}
log: {{level: warning}}
providers:
  pipeline: {{client_id: EXAMPLE, client_secret: EXAMPLE, variables: {{api: "{server.base}"}}}}
{more}""")
    return file


def make_due(folder):
    """All accounts at once, as a plan that was made long ago would have it."""
    database = sqlite3.connect(f"{folder}/rollcall.sqlite", timeout=30)
    database.execute("UPDATE sync_schedule SET next_sync_at = ?, plan_interval = NULL, plan_share = NULL",
                     (int(time.time() * 1000) - 1,))
    database.commit()
    database.close()
