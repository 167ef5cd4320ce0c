"""What teams run the pipeline on, as real programs on this machine: an MLflow server on PostgreSQL, S3, and sshd.

    python -m tests.integration.services      starts all, prints how to use them, and ends them on Ctrl-C

Everything listens on 127.0.0.1 and lies in one temporary folder, which goes when the services end. Other accounts of
the machine cannot enter the folder; PostgreSQL wants a password and sshd a key that are made for the occasion. MLflow's
server and S3's have no accounts: they hold what these tests write, and nothing else.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.loopback import HOST, free_port

BUCKET = "rlhf-artifacts"
KEY = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


class Services(NamedTuple):
    mlflow: str  # URI of the tracking server, which proxies artifacts
    database: str  # URI of its PostgreSQL database
    s3: str  # endpoint
    ssh: str  # URI of an empty folder
    ssh_key: Path


@contextmanager
def running() -> Iterator[Services]:
    """Yield all services, ready to answer; raises RuntimeError with the log of one that does not come up."""
    with ExitStack() as stack:
        folder = stack.enter_context(temporary())
        database = stack.enter_context(postgres(folder))
        yield Services(
            stack.enter_context(mlflow_server(folder, database)),
            database,
            stack.enter_context(s3(folder)),
            *stack.enter_context(ssh(folder)),
        )


@contextmanager
def temporary() -> Iterator[Path]:
    """Yield a folder that nobody else may enter but PostgreSQL, which runs as another user where this one is root."""
    folder = Path(tempfile.mkdtemp(prefix="services-"))
    if os.geteuid() == 0:
        shutil.chown(folder, group="postgres")
        folder.chmod(0o710)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(folder: Path, port: int | None = None) -> Iterator[str]:
    """Yield the URI of a database of its own, on the same port again the one that the folder holds.

    Root runs it as the user postgres, since PostgreSQL refuses root.
    """
    data, port, secret = folder / "postgres", port or free_port(), folder / "password"
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if not data.exists():
        data.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(16))
        if become:
            shutil.chown(data, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        accounts = ["--username", "mlflow", "--auth", "scram-sha-256", "--pwfile", str(secret)]
        run(*become, found("initdb"), "--pgdata", str(data), *accounts, cwd="/")
    command = [found("postgres"), "-D", str(data), "-p", str(port), "-h", HOST, "-k", str(data)]
    uri = f"postgresql://mlflow:{secret.read_text()}@{HOST}:{port}/postgres"

    def answers() -> bool:
        import psycopg

        with psycopg.connect(uri, connect_timeout=2):
            return True

    with service("postgres", command, folder, answers, cwd="/", how=signal.SIGINT, user="postgres" if become else None):
        yield uri


@contextmanager
def mlflow_server(folder: Path, database: str, port: int | None = None) -> Iterator[str]:
    """Yield the URI of an MLflow server that keeps runs in the database and takes artifacts itself."""
    port = port or free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1",
        "--artifacts-destination", str(folder / "artifacts"), "--host", HOST, "--port", str(port),
    ]  # fmt: skip
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    own |= {"MLFLOW_BACKEND_STORE_URI": database}  # with its password: all users see arguments
    uri = f"http://{HOST}:{port}"
    with service("mlflow", command, folder, lambda: answered(f"{uri}/health"), environment=own):
        yield uri


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """Yield the endpoint of moto's S3 server, with a bucket."""
    port = free_port()
    endpoint = f"http://{HOST}:{port}"
    command = [found("moto_server"), "-H", HOST, "-p", str(port)]
    with service("s3", command, folder, lambda: answered(f"{endpoint}/moto-api/")):
        import boto3

        key = {"aws_access_key_id": KEY["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": KEY["AWS_SECRET_ACCESS_KEY"]}
        boto3.client("s3", endpoint_url=endpoint, region_name=KEY["AWS_DEFAULT_REGION"], **key).create_bucket(
            Bucket=BUCKET
        )
        yield endpoint


@contextmanager
def ssh(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the URI of a folder behind an sshd that takes one key, and that key."""
    home, port, user = folder / "ssh", free_port(), pwd.getpwuid(os.geteuid()).pw_name
    home.mkdir()
    for name in ("host", "key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name))
    shutil.copy(home / "key.pub", home / "authorized_keys")
    (home / "config").write_text(
        f"ListenAddress {HOST}\nPort {port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized_keys\n"
        f"PidFile {home}/pid\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\nUsePAM no\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (home / "remote").mkdir()

    def answers() -> bool:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"

    with service("sshd", [found("sshd"), "-D", "-e", "-f", str(home / "config")], folder, answers):
        yield f"ssh://{user}@{HOST}:{port}{home}/remote", home / "key"


@contextmanager
def service(
    name: str,
    command: list[str],
    folder: Path,
    ready: Callable[[], bool],
    cwd: str | None = None,
    environment: Mapping[str, str] | None = None,
    how: signal.Signals = signal.SIGTERM,
    user: str | None = None,
) -> Iterator[None]:
    """Run a program until the block ends, from when it is ready; it is told to end by the signal `how`.

    As another `user` it is started directly: runuser would not pass SIGINT on.
    """
    log = folder / f"{name}.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, cwd=cwd or folder, env=os.environ | dict(environment or {}), stdout=output, stderr=output,
            user=user, group=user, extra_groups=[] if user else None,
        )  # fmt: skip
    try:
        for _ in range(240):
            if process.poll() is not None:
                break
            try:
                if ready():
                    break
            except Exception:  # noqa: BLE001 - not yet, for whatever reason
                time.sleep(0.5)
        else:
            process.kill()
        if process.poll() is not None:
            raise RuntimeError(f"{name} did not come up:\n{log.read_text()[-3000:]}")
        yield
    finally:
        process.send_signal(how)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def answered(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2):
        return True


def run(*command: str, cwd: str | None = None) -> None:
    answer = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stdout}{answer.stderr}")


def found(name: str) -> str:
    """Return the path of a program: of this environment, of the system, or of Debian's PostgreSQL."""
    own = Path(sys.executable).parent / name
    places = [own, *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True), Path("/usr/sbin") / name]
    place = next((str(path) for path in places if path.exists()), None) or shutil.which(name)
    if place is None:
        raise RuntimeError(f"{name} is missing; `make integration` installs it on Debian and Ubuntu as root")
    return place


def main() -> None:
    with running() as services:
        print(f"tracking.uri in params.yaml, or MLFLOW_TRACKING_URI: {services.mlflow}")
        print(f"  its database: {services.database}")
        print(f"dvc remote add s3 s3://{BUCKET}/dvc && dvc remote modify s3 endpointurl {services.s3}")
        print("  with " + " ".join(f"{name}={value}" for name, value in KEY.items()))
        print(f"dvc remote add ssh {services.ssh} && dvc remote modify --local ssh keyfile {services.ssh_key}")
        print("Ctrl-C ends them", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")


if __name__ == "__main__":
    main()
