"""Run the suite: as root first as an ordinary user, then as root; otherwise as the user that calls it.

The ordinary user sees the checkout through a private bind mount, so that it also works below a folder only root can enter. For the
tests marked any_ids he runs a second time without subordinate ids. What fails beside other tests is run once more, alone: on a busy
machine a moment that a test waits for may come late; what fails then fails the suite. The last line printed is pytest's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

USER = "envgit-test"
CHECKOUT = Path(__file__).resolve().parent.parent
MOUNT_POINT = Path("/var/lib/envgit-test-checkout")
NOTHING_SELECTED = 5
"""pytest's exit status when no test was run."""
PASSED_ON = ("ENVGIT_TESTS_FAIL_ON_SKIP", "HYPOTHESIS_PROFILE")

AS_USER = """
set -e
checkout=$1 place=$2 uid=$3 gid=$4 home=$5 user=$6 hide=$7
shift 7
mount --bind "$checkout" "$place"
if [ "$hide" = hide ]; then
    for helper in newuidmap newgidmap; do
        for folder in /usr/bin /bin; do [ ! -e $folder/$helper ] || mount --bind /dev/null $folder/$helper; done
    done
fi
if [ -c /dev/net/tun ]; then
    mknod -m 666 "$home/tun" c 10 200 2>/dev/null || true
    mount --bind "$home/tun" /dev/net/tun
fi
cd "$place"
exec setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all -- \
    env -i HOME="$home" USER="$user" LOGNAME="$user" PATH="$PATH" LANG=C.UTF-8 TMPDIR="$home/tmp" PYTHONDONTWRITEBYTECODE=1 "$@"
"""


def _ensure_user() -> pwd.struct_passwd:
    """Return the ordinary user, made with subordinate ids when missing."""
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
        user = pwd.getpwnam(USER)
    for file in ("/etc/subuid", "/etc/subgid"):
        _ensure_range(Path(file))
    return user


def _ensure_range(file: Path) -> None:
    """Give the user 65,536 ids that nobody has, where useradd does not do it."""
    lines = file.read_text().splitlines() if file.exists() else []
    ranges = [line.split(":") for line in lines if line.count(":") == 2]
    if any(fields[0] == USER for fields in ranges):
        return
    start = max([100_000, *(int(fields[1]) + int(fields[2]) for fields in ranges)])
    file.write_text("\n".join([*lines, f"{USER}:{start}:65536"]) + "\n")


def _run_twice(command: list[str]) -> int:
    """Run a pytest command, and what failed once more, without other tests beside it; return the last exit status."""
    status = subprocess.run(command, cwd=CHECKOUT).returncode
    if status < 0:
        print(f"== pytest itself was ended by signal {-status}", flush=True)
    if status != 1 or "-x" in command:
        return status
    print("== what failed, once more and alone", flush=True)
    again = subprocess.run([*command, "--last-failed", "--last-failed-no-failures", "none", "-n", "0"], cwd=CHECKOUT)
    return again.returncode if again.returncode != NOTHING_SELECTED else status  # nothing failed: it was a skip


def _run_as_user(arguments: list[str], *, hide_ids: bool = False) -> int:
    user = _ensure_user()
    MOUNT_POINT.mkdir(mode=0o755, exist_ok=True)
    temporary = Path(user.pw_dir, "tmp")
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.chown(temporary, user.pw_uid, user.pw_gid)
    interpreter = Path(sys.prefix, "bin/python")
    inside = MOUNT_POINT / interpreter.relative_to(CHECKOUT) if interpreter.is_relative_to(CHECKOUT) else interpreter
    words = [str(user.pw_uid), str(user.pw_gid), user.pw_dir, USER, "hide" if hide_ids else "show"]
    passed_on = [f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ]
    command = ["unshare", "--mount", "sh", "-c", AS_USER, "sh", str(CHECKOUT), str(MOUNT_POINT), *words]
    command += [*passed_on, str(inside), "-m", "pytest", "-o", f"cache_dir={temporary}/cache"]
    try:
        return _run_twice([*command, *arguments])
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(temporary)], check=False)


def main(arguments: list[str]) -> int:
    campaign = "--campaign" in arguments
    arguments = [word for word in arguments if word != "--campaign"]
    if campaign:
        os.environ["HYPOTHESIS_PROFILE"] = "campaign"
    workers = ["-n", str(os.cpu_count() or 1)] if "-n" not in arguments and "-x" not in arguments else []
    statuses = []
    if os.geteuid() == 0:
        if not shutil.which("unshare") or not shutil.which("setpriv"):
            print("the package util-linux is missing: apt-get install util-linux", file=sys.stderr)
            return 2
        # A clone made under umask 077, or into a private folder: its files are about to be public to the user's pass anyway.
        subprocess.run(["chmod", "-R", "a+rX", str(CHECKOUT)], check=True)
        print(f"== the suite as the ordinary user {USER}", flush=True)
        statuses.append(_run_as_user([*workers, *arguments]))
        if not any(not word.startswith("-") and "::" in word for word in arguments):
            print(f"== what works with any ids as {USER} without subordinate ids", flush=True)
            statuses.append(_run_as_user([*workers, *arguments, "-m", "any_ids"], hide_ids=True))
        print("== the suite as root", flush=True)
    statuses.append(_run_twice([sys.executable, "-m", "pytest", *workers, *arguments]))
    return next((status for status in statuses if status not in (0, NOTHING_SELECTED)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
