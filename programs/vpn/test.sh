#!/bin/bash
# VPNs in user space, unmodified, between two hosts of a lab: WireGuard in Go, and OpenVPN over UDP with TUN and over TCP with TAP.
. "$(dirname "$0")/../lib/outer.sh"
native && skip "a lab has no host's kernel to run on"
[ "$(id -u)" -eq 0 ] || skip "wireguard-go and wg talk by a socket in /run: a mount namespace, so root"
unshare -m true 2>/dev/null || skip "no mount namespace may be made here"
need openvpn openvpn
need wireguard-go wireguard-go
need wg wireguard-tools
need ip iproute2
need ping iputils-ping
need python3 python3
need curl curl
need openssl openssl

cd "$WORK"
mkdir keys www
for host in left right; do
    (umask 077 && wg genkey >keys/$host.key)
    wg pubkey <keys/$host.key >keys/$host.pub
done
openssl req -x509 -newkey rsa:2048 -nodes -keyout keys/tls.key -out keys/tls.pem -days 2 -subj /CN=end 2>/dev/null
chmod 600 keys/tls.key
head -c 1000000 /dev/urandom >www/data
export TMPDIR=$WORK/tmp XDG_RUNTIME_DIR=$WORK/tmp HERE
status=0
timeout 160 "$SWITCHBOARD" lab --output "$WORK/out" "$HERE/vpn.toml" >log 2>&1 || status=$?
[ $status -eq 0 ] || { cat log >&2; fail "the lab ended with status $status"; }
cat "$WORK/out/user.out"
