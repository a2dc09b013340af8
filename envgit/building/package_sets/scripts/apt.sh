# Install Debian packages: apt.sh MODE MOVING SPEC...
#
# MODE: newest, locked (exactly what /run/envgit/pins lists), or prefer (those where that is possible).
# MOVING: names, separated by commas, that have no pin: with `prefer`, what they depend on may have to move.
# Leaves what it installed in /run/envgit/packages. Two runs over equal trees and archives leave equal trees.
set -eu
umask 022
mode=$1
moving=$2
shift 2
pins=/run/envgit/pins
state=/run/envgit/apt
export FORCE_SOURCE_DATE=1 DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C.UTF-8
unset LANGUAGE DISPLAY XDG_RUNTIME_DIR

fail() {
    echo "envgit: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "there is no apt-get in this environment: packages.apt needs Debian or Ubuntu"
rm -rf "$state"
mkdir -p "$state/lists/partial" "$state/log"
: >/run/envgit/packages

# Downloaded packages outlive the build; those of different distributions have equal names.
distribution=$(sed -n 's/^\(ID\|VERSION_ID\)=//p' /etc/os-release | tr -d '"\n' | tr -c 'a-zA-Z0-9.' _)
cache=/run/envgit/cache/$distribution-$(dpkg --print-architecture)
mkdir -p "$cache/partial"

# Given with -c this is read after /etc/apt. What is downloaded and logged goes where nothing is recorded.
cat >"$state/apt.conf" <<END
APT::Get::Assume-Yes "true";
APT::Get::AutomaticRemove "false";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Languages { "none"; };
Acquire::GzipIndexes "true";
Acquire::Retries "3";
Dir::State::lists "$state/lists/";
Dir::Cache "$state/";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Cache::archives "$cache/";
Dir::Log "$state/log";
Dir::Etc::preferences "$state/preferences";
Dpkg::Use-Pty "false";
Dpkg::Options { "--force-confdef"; "--force-confold"; "--force-unsafe-io"; "--log=/dev/null"; };
DPkg::Pre-Install-Pkgs { "/bin/sh $state/check"; };
END
[ ! -r /run/secrets/ca-certificates ] || echo 'Acquire::https::CaInfo "/run/secrets/ca-certificates";' >>"$state/apt.conf"
[ ! -r /run/secrets/apt-auth.conf ] || echo 'Dir::Etc::netrc "/run/secrets/apt-auth.conf";' >>"$state/apt.conf"
# Where user ids cannot be changed, apt downloads as who it is.
chown _apt "$state/lists/partial" 2>/dev/null || echo 'APT::Sandbox::User "root";' >>"$state/apt.conf"

# apt tells this the files it is about to unpack. What they are is noted, and compared with the pins.
cat >"$state/check" <<'END'
set -eu
state=/run/envgit/apt
pins=/run/envgit/pins
cat >"$state/debs"
while read -r deb; do
    hash=$(sha256sum <"$deb")
    hash=${hash%% *}
    dpkg-deb -W --showformat="apt\t\${Package}\t\${Version}\t\${Architecture}\tsha256:$hash\n" "$deb"
done <"$state/debs" | LC_ALL=C sort >"$state/found"
# apt believes a package that was downloaded earlier by its size.
apt-cache -c "$state/apt.conf" show --no-all-versions $(awk -F '\t' '{ print $2 ($4 == "all" ? "" : ":" $4) "=" $3 }' "$state/found") |
    sed -n 's/^SHA256: */sha256:/p' >"$state/expected"
awk -F '\t' 'FILENAME == ARGV[1] { good[$1]; next } !($5 in good) { print $2, $3; bad = 1 } END { exit !bad }' \
    "$state/expected" "$state/found" >"$state/damaged" && {
    while read -r package; do
        echo "envgit: the downloaded package $package is damaged" >&2
    done <"$state/damaged"
    while read -r deb; do
        case $deb in /run/envgit/cache/*) rm -f "$deb" ;; esac
    done <"$state/debs"
    echo "envgit: it is dropped; build again" >&2
    exit 1
}
[ ! -e "$state/exact" ] || awk -F '\t' '
    FILENAME == ARGV[1] { version[$2 "\t" $4] = $3; hash[$2 "\t" $4] = $5; next }
    { key = $2 "\t" $4; seen[key] }
    !(key in version) { print "envgit:   " $2, $3, "is not in the lock"; bad = 1; next }
    version[key] != $3 { print "envgit:   " $2, version[key], "is locked; the archive has", $3; bad = 1; next }
    hash[key] != "" && hash[key] != $5 { print "envgit:   " $2, $3, "is another file:", $5 ", locked is", hash[key]; bad = 1 }
    END {
        for (key in version) if (!(key in seen)) {
            split(key, words, "\t")
            print "envgit:   " words[1], version[key], "is locked, and would not be installed"
            bad = 1
        }
        exit !bad
    }' "$pins" "$state/found" >"$state/differences" || {
    exit 0
}
[ ! -e "$state/exact" ] || {
    echo "envgit: these packages are not what is locked:" >&2
    LC_ALL=C sort "$state/differences" >&2
    exit 1
}
END

# The pins as preferences, before those that the environment has.
pin() {
    awk -F '\t' '{ print "Package: " $2 ($4 == "all" ? "" : ":" $4) "\nPin: version " $3 "\nPin-Priority: 1001\n" }' "$1"
    cat /etc/apt/preferences 2>/dev/null || :
}
case $mode in
newest) pin /dev/null ;;
*) pin "$pins" ;;
esac >"$state/preferences"
[ "$mode" != locked ] || : >"$state/exact"

# Services are not started: what they do is no part of the environment.
policy=
if [ ! -e /usr/sbin/policy-rc.d ] && [ -d /usr/sbin ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# What packages make at random, or with the time in it, so that each machine has its own.
identities='
/etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
/etc/ssl/certs/ssl-cert-snakeoil.pem /etc/ssl/private/ssl-cert-snakeoil.key
/var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
/etc/bind/rndc.key /etc/munge/munge.key /etc/nvme/hostid /etc/nvme/hostnqn /etc/iscsi/initiatorname.iscsi
/etc/unbound/unbound_control.key /etc/unbound/unbound_control.pem
/etc/unbound/unbound_server.key /etc/unbound/unbound_server.pem
/var/lib/mysql/*'
for path in $identities; do
    [ ! -e "$path" ] || echo "$path"
done >"$state/before"
machine_id=
[ -s /etc/machine-id ] || machine_id=/etc/machine-id

# A database cluster has an identity and times in it. Debian's PostgreSQL asks this folder whether to make one.
clusters=/etc/postgresql-common/createcluster.d
made=
if [ ! -d /etc/postgresql-common ]; then
    made=/etc/postgresql-common
elif [ ! -d "$clusters" ]; then
    made=$clusters
fi
mkdir -p "$clusters"
echo 'create_main_cluster = off' >"$clusters/zz-envgit.conf"

keystore=/etc/ssl/certs/java/cacerts
cp $keystore "$state/keystore" 2>/dev/null || :
cp -p /var/log/alternatives.log "$state/alternatives.log" 2>/dev/null || :

apt-get -c "$state/apt.conf" -q update || fail "apt-get update failed"
install() {
    apt-get -c "$state/apt.conf" -q --allow-downgrades install -- "$@"
}
fits() {
    apt-get -c "$state/apt.conf" -qq -s --allow-downgrades install -- "$@" >/dev/null 2>&1
}
if [ "$mode" = prefer ] && ! fits "$@"; then
    echo "envgit: not everything else can stay at its version: what depends on the change moves, too" >&2
    : >"$state/moving"
    [ -z "$moving" ] || apt-cache -c "$state/apt.conf" depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances $(echo "$moving" | tr , ' ') 2>/dev/null |
        sed -n 's/^\([a-z0-9][^: ]*\).*/\1/p' >"$state/moving"
    awk -F '\t' 'FILENAME == ARGV[1] { moving[$1]; next } !($2 in moving)' "$state/moving" "$pins" >"$state/staying"
    pin "$state/staying" >"$state/preferences"
    fits "$@" || pin /dev/null >"$state/preferences"
fi
if ! install "$@"; then
    [ "$mode" != locked ] || [ -e "$state/found" ] ||
        echo "envgit: a locked version that the archive no longer has can only come from a snapshot of it" >&2
    fail "apt-get install failed"
fi
[ -e "$state/found" ] || /bin/sh "$state/check" </dev/null
cp "$state/found" /run/envgit/packages
awk -F '\t' '$2 ~ /^postgresql-[0-9.]+$/ { print substr($2, 12) }' "$state/found" | while read -r version; do
    [ -e "/etc/postgresql/$version/main" ] ||
        echo "envgit: no PostgreSQL cluster was made; where it runs: pg_createcluster $version main" >&2
done

# Leave nothing of this.
[ -z "$policy" ] || rm -f "$policy"
rm -f "$clusters/zz-envgit.conf"
case $made in
?*) rmdir "$clusters" /etc/postgresql-common 2>/dev/null || : ;;
esac
for path in $identities; do
    if [ -e "$path" ] && ! grep -qxF "$path" "$state/before"; then
        echo "envgit: $path is for each machine to make: removed" >&2
        rm -rf "$path"
    fi
done
# The names that OpenSSL finds certificates by, of a certificate that is gone.
for link in /etc/ssl/certs/*.[0-9]; do
    [ "$(readlink "$link")" != ssl-cert-snakeoil.pem ] || [ -e "$link" ] || rm -f "$link"
done
if [ -n "$machine_id" ] && [ -s "$machine_id" ]; then
    : >"$machine_id"
fi
# Java's list of authorities says when each was added, to the millisecond, in the order of a hash table.
cat >"$state/keystore.pl" <<'END'
use strict;
use Digest::SHA qw(sha1);
my ($path, $epoch) = @ARGV;
open(my $in, '<:raw', $path) or exit;
my $data = do { local $/; <$in> };
my $salt = join('', map { "\0$_" } split(//, 'changeit')) . 'Mighty Aphrodite';
my $body = substr($data, 0, -20);
exit unless length($data) > 32 && substr($data, -20) eq sha1($salt . $body);
my ($magic, $version, $count) = unpack('NNN', $body);
exit unless $magic == 0xfeedfeed && $version == 2;
my ($at, %entries) = (12);
for (1 .. $count) {
    my ($tag, $alias) = unpack('N n/a', substr($body, $at));
    exit unless $tag == 2;
    my $times = $at + 6 + length($alias);
    my ($type, $certificate) = unpack('n/a N/a', substr($body, $times + 8));
    $entries{$alias} = pack('N n/a Q> n/a N/a', $tag, $alias, $epoch * 1000, $type, $certificate);
    $at = $times + 8 + 2 + length($type) + 4 + length($certificate);
}
exit unless $at == length($body) && keys(%entries) == $count;
my $new = pack('NNN', $magic, $version, $count) . join('', map { $entries{$_} } sort keys %entries);
open(my $out, '>:raw', $path) or die "$path: $!";
print $out $new, sha1($salt . $new) or die;
close($out) or die;
END
if [ -n "${SOURCE_DATE_EPOCH-}" ] && [ -f $keystore ] && ! cmp -s $keystore "$state/keystore" &&
    perl -MDigest::SHA -e 1 2>/dev/null; then
    perl "$state/keystore.pl" $keystore "$SOURCE_DATE_EPOCH"
fi
# A log of times, a cache of inode numbers, and what was there before the last change.
if [ -e "$state/alternatives.log" ]; then
    cp -p "$state/alternatives.log" /var/log/alternatives.log
else
    rm -f /var/log/alternatives.log
fi
[ ! -d /var/lib/texmf ] || find /var/lib/texmf -name '*.log' -type f -delete
rm -f /var/log/fontconfig.log /var/cache/ldconfig/aux-cache
rm -f /var/lib/dpkg/*-old /var/cache/debconf/*-old
apt-get -c "$state/apt.conf" -qq autoclean >/dev/null 2>&1 || :
rm -rf "$state"
