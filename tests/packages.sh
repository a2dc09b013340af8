#!/bin/sh
# Install the programs that the tests compare envgit with, where this machine lets us; say what is missing otherwise.
needed="git uidmap rsync acl attr libcap2-bin zstd xz-utils libarchive-tools util-linux"
missing=""
for package in $needed; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
        echo "could not install$missing; the tests that need them will fail" >&2
else
    echo "missing programs, their tests will fail:$missing (apt-get install$missing)" >&2
fi
