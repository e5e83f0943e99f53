#!/bin/bash
# Fetch i386 programs and the libraries they need from Debian and unpack them, without installing: their amd64
# namesakes and the host's own libraries stay as they are.
set -euo pipefail
ROOT=/var/cache/switchboard-programs/i386
[ ! -e "$ROOT/done" ] || exit 0
rm -rf "$ROOT"
mkdir -p "$ROOT/deb"
chmod 755 /var/cache/switchboard-programs "$ROOT"
cd "$ROOT/deb"
if ! dpkg --print-foreign-architectures | grep -qx i386; then
    dpkg --add-architecture i386
    apt-get update -q >/dev/null
fi
programs=(curl:i386 socat:i386 iperf3:i386 busybox-static:i386)
mapfile -t packages < <(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "${programs[@]}" | grep -E '^(lib|zlib1g).*:i386$' | grep -vE '^lib(pam|perl|semanage|debian-installer)' | sort -u)
apt-get -q -o APT::Sandbox::User=root download "${programs[@]}" "${packages[@]}" >/dev/null
for deb in *.deb; do dpkg -x "$deb" "$ROOT"; done
cd "$ROOT"
rm -rf deb
chmod -R a+rX .
touch done
