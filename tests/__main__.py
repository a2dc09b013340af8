"""Run the suite: as root first as an ordinary user, then as root; otherwise as the user that calls it.

The ordinary user sees the checkout through a private bind mount, so that it also works below a folder only root can enter.
The last line printed is pytest's.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

USER = "envgit-test"
CHECKOUT = Path(__file__).resolve().parent.parent
MOUNT_POINT = Path("/var/lib/envgit-test-checkout")


def _ensure_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
        return pwd.getpwnam(USER)


def _run_as_user(arguments: list[str]) -> int:
    user = _ensure_user()
    MOUNT_POINT.mkdir(mode=0o755, exist_ok=True)
    script = (
        'mount --bind "$0" "$1" && cd "$1" && shift && '
        'exec setpriv --reuid "$1" --regid "$2" --init-groups env -i HOME="$3" USER="$4" PATH="$PATH" LANG=C.UTF-8 '
        'TMPDIR=/tmp ENVGIT_TESTS_FAIL_ON_SKIP="$ENVGIT_TESTS_FAIL_ON_SKIP" "${@:5}"'
    )
    command = ["unshare", "--mount", "bash", "-c", script, str(CHECKOUT), str(MOUNT_POINT)]
    command += [str(user.pw_uid), str(user.pw_gid), user.pw_dir, USER]
    command += [".venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "ENVGIT_TESTS_FAIL_ON_SKIP": os.environ.get("ENVGIT_TESTS_FAIL_ON_SKIP", "")}
    return subprocess.run(command, env=environment).returncode


def main(arguments: list[str]) -> int:
    workers = ["-n", str(os.cpu_count() or 1)] if "-n" not in arguments and "-x" not in arguments else []
    as_user = 0
    if os.geteuid() == 0:
        print(f"== the suite as the ordinary user {USER}", flush=True)
        as_user = _run_as_user([*workers, *arguments])
        print("== the suite as root", flush=True)
    as_caller = subprocess.run([sys.executable, "-m", "pytest", *workers, *arguments], cwd=CHECKOUT).returncode
    return as_user or as_caller


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
