#!/bin/sh
# Install the programs that the tests compare envgit with, where this machine lets us; say what is missing otherwise.
needed="git uidmap rsync tar acl attr libcap2-bin zstd xz-utils bzip2 pigz libarchive-tools util-linux mount e2fsprogs passwd strace busybox-static iproute2 systemd dbus linux-libc-dev mmdebstrap postgresql-client passt slirp4netns nftables podman buildah umoci skopeo docker-registry openssl runc crun gcc libc6-dev bubblewrap rpm openssh-server gnupg openssh-client"
missing=""
for package in $needed; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null 2>&1
    apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 && exit 0
    # one that cannot be had must not keep the others away
    for package in $missing; do
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
            echo "could not install $package; the tests that need it will fail" >&2
    done
else
    echo "missing programs, their tests will fail:$missing (apt-get install$missing)" >&2
fi
exit 0
