#!/bin/sh
# Make the rpm databases of this folder with rpm's own programs: sh tests/packages/golden/make.sh (Debian: rpm, db-util, sqlite3, xz-utils).
# What is checked in is not made again: real databases of those versions do not change either.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

package() { # NAME VERSION RELEASE ARCHITECTURE SUMMARY [EPOCH-LINE]
    cat >"$1.spec" <<SPEC
Name: $1
Version: $2
Release: $3
${6:-}
Summary: $5
License: MIT
BuildArch: $4
%description
An empty package.
%files
SPEC
    rpmbuild -bb --quiet --target "$4" --define "_topdir $work/top" --define "_rpmdir $work/out" \
        --define "_buildhost golden.example" --define "_builddir /" "$1.spec" >/dev/null
}
package hello 2.10 4.el9 noarch "Prints a greeting"
package openssl-libs 3.0.7 25.el9 x86_64 "A general purpose cryptography library" "Epoch: 1"
package tzdata 2024a 1 noarch "Zeit"

rpm --dbpath "$work/db" --initdb 2>/dev/null
rpm --dbpath "$work/db" -i --justdb --nodeps --ignorearch --nosignature out/*/*.rpm 2>/dev/null
xz -9e <db/rpmdb.sqlite >"$here/rpmdb.sqlite.xz"

# No rpm of today writes Berkeley DB; db_load does, and rpm reads it (_db_backend bdb_ro). Keys are numbers, 0 is the counter.
{
    printf 'VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n'
    printf ' 00000000\n 03000000\n'
    sqlite3 db/rpmdb.sqlite "select printf(' %02x000000', hnum) || char(10) || ' ' || lower(hex(blob)) from Packages"
    printf 'DATA=END\n'
} >dump
db_load -f dump Packages
xz -9e <Packages >"$here/Packages.xz"
