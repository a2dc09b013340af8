#!/bin/sh
# The tour of the README, run for real: `make demo`. Everything happens in a new folder below ${TMPDIR:-/tmp}.
set -eu
lab=$(mktemp -d "${TMPDIR:-/tmp}/envgit-demo.XXXXXX")
step() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@"
}
step envgit init "$lab/lab" --from host
cd "$lab/lab"
step envgit run -- sh -c 'echo hi > /etc/motd; rm -f /usr/share/doc/bash/README*; cat /etc/motd'
step envgit status
step envgit --no-pager diff --stat
step envgit commit -m 'greet'
step envgit checkout -b experiment
step envgit run -- sh -c 'mkdir -p /srv/app && echo "print(6 * 7)" > /srv/app/main.py'
step envgit commit -m 'add an application'
step envgit checkout main
step envgit run main~1 -- sh -c 'cat /etc/motd 2>/dev/null || echo "no motd yet at main~1"'
step envgit run experiment -- sh -c 'cat /srv/app/main.py'
step envgit --no-pager diff --name-status main experiment
step envgit --no-pager log --graph --stat --all
step envgit reset --hard HEAD~1
step envgit undo
step envgit status
step git --git-dir=.envgit fsck --strict --full
step envgit fsck
printf '\nThe environment stays in %s. To remove it: rm -rf %s\n' "$lab/lab" "$lab"
[ "$(id -u)" = 0 ] || printf '(its files may belong to subordinate ids: unshare --map-root-user --map-auto rm -rf %s)\n' "$lab"
