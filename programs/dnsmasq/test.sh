#!/bin/bash
# dnsmasq, asked by dig over UDP and TCP, IPv4 and IPv6: answers, a truncated one, names it has not, a chain of two servers.
. "$(dirname "$0")/../lib/outer.sh"
PATH=$PATH:/usr/sbin
need dnsmasq dnsmasq-base
need dig bind9-dnsutils
run 60
