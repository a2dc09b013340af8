# Install Python packages for the environment's own python3: pip.sh MODE MOVING SPEC...
#
# MODE: newest, locked (exactly what /run/envgit/pins lists), or prefer (those where that is possible).
# MOVING is not looked at.
# Leaves what it installed in /run/envgit/packages. Two runs over equal trees and indexes leave equal trees.
set -eu
umask 022
mode=$1
shift 2
pins=/run/envgit/pins
state=/run/envgit/pip
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER

fail() {
    echo "envgit: $*" >&2
    exit 1
}

python3 -m pip --version >/dev/null 2>&1 ||
    fail "there is no pip for python3 in this environment: packages.pip needs it (Debian: packages.apt = [\"python3-pip\"])"
[ ! -r /run/secrets/ca-certificates ] || export PIP_CERT=/run/secrets/ca-certificates
[ ! -r /run/secrets/pip.conf ] || export PIP_CONFIG_FILE=/run/secrets/pip.conf
rm -rf "$state"
mkdir -p "$state"
: >/run/envgit/packages

install() {
    PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install --no-input --disable-pip-version-check \
        --no-cache-dir --no-compile --no-warn-script-location --report "$state/report.json" "$@"
}

awk -F '\t' '{ print $2 "==" $3 ($5 == "" ? "" : " --hash=" $5) }' "$pins" >"$state/locked"
awk -F '\t' '{ print $2 "==" $3 }' "$pins" >"$state/constraints"
case $mode in
newest) install -- "$@" ;;
prefer)
    # With a constraint that contradicts a pin nothing is installed.
    install -c "$state/constraints" -- "$@" || {
        echo "envgit: not everything can stay at its version" >&2
        install -- "$@"
    }
    ;;
locked)
    if [ ! -s "$state/locked" ] || grep -qv -e ' --hash=' "$state/locked"; then
        # What comes from a version control system has no hash: what was installed is compared afterwards.
        install -c "$state/constraints" -- "$@"
    else
        install --require-hashes --no-deps -r "$state/locked"
    fi
    ;;
esac || fail "pip install failed"

cat >"$state/finish.py" <<'END'
import json
import os
import py_compile
import re
import sys
from importlib import metadata

mode, report_path, pins_path, list_path, *specs = sys.argv[1:]
with open(report_path, encoding="utf-8") as file:
    report = json.load(file)
def normal(name):
    return re.sub("[-_.]+", "-", name).lower()
lines = []
for item in report["install"]:
    info = item["download_info"].get("archive_info") or {}
    hashes = info.get("hashes") or {}
    digest = "sha256:" + hashes["sha256"] if "sha256" in hashes else ""
    if not digest and "=" in info.get("hash", ""):
        digest = info["hash"].replace("=", ":", 1)
    lines.append("\t".join(("pip", normal(item["metadata"]["name"]), item["metadata"]["version"], "", digest)))
lines.sort()
if mode == "locked":
    with open(pins_path, encoding="utf-8") as file:
        pins = sorted(filter(None, file.read().split("\n")))
    # A package may be locked without a hash (from a version control system): its version counts.
    def strip(line, other):
        return line.rpartition("\t")[0] if other.endswith("\t") else line
    missing = [pin for pin in pins if not any(strip(line, pin) == strip(pin, pin) for line in lines)]
    extra = [line for line in lines if not any(strip(line, pin) == strip(pin, pin) for pin in pins)]
    if missing or extra:
        print("envgit: these packages are not what is locked:", file=sys.stderr)
        for line in extra:
            print("envgit:   %s %s is not in the lock" % tuple(line.split("\t")[1:3]), file=sys.stderr)
        for line in missing:
            print("envgit:   %s %s is locked, and was not installed" % tuple(line.split("\t")[1:3]), file=sys.stderr)
        sys.exit(1)
# pip marks what was asked for. That is what the declaration asks for, also when the lock said more.
wanted = {normal(re.match("[A-Za-z0-9._-]*", spec).group()) for spec in specs}
if mode == "locked":
    for item in report["install"]:
        distribution = metadata.distribution(item["metadata"]["name"])
        if normal(item["metadata"]["name"]) not in wanted:
            for name in distribution.files or ():
                if name.name == "REQUESTED" and name.parent.name.endswith(".dist-info"):
                    mark = distribution.locate_file(name)
                    record = os.path.join(os.path.dirname(mark), "RECORD")
                    with open(record, encoding="utf-8", newline="") as file:
                        kept = [line for line in file if not line.startswith(str(name) + ",")]
                    with open(record, "w", encoding="utf-8", newline="") as file:
                        file.writelines(kept)
                    os.unlink(mark)
# Byte code that is checked by content: times of modification are not kept.
for item in report["install"]:
    distribution = metadata.distribution(item["metadata"]["name"])
    for name in sorted(map(str, distribution.files or ())):
        path = str(distribution.locate_file(name))
        if path.endswith(".py") and os.path.isfile(path) and "/bin/" not in path:
            try:
                py_compile.compile(path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
            except py_compile.PyCompileError:
                pass  # templates, and files for other versions of Python
with open(list_path, "w", encoding="ascii") as file:
    file.writelines(line + "\n" for line in lines)
END
python3 -I "$state/finish.py" "$mode" "$state/report.json" "$pins" /run/envgit/packages "$@"
rm -rf "$state"
