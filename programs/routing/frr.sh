#!/bin/sh
# zebra and bgpd of FRR, which give up root for a user of their own.
mkdir "frr-$1"
chown frr:frr "frr-$1"
dir=$PWD/frr-$1
printf 'log stdout\n' >"$dir/zebra.conf"
cat >"$dir/bgpd.conf" <<CONF
log stdout
router bgp 6500$2
 bgp router-id 1.1.1.$2
 no bgp ebgp-requires-policy
 neighbor 10.0.1.$3 remote-as 6500$3
 neighbor 10.0.1.$3 timers connect 2
 address-family ipv4 unicast
  redistribute connected
 exit-address-family
CONF
options="-u frr -g frr -z $dir/zserv --vty_socket $dir -A 127.0.0.1"
zebra $options -f "$dir/zebra.conf" -i "$dir/zebra.pid" &
until [ -S "$dir/zserv" ]; do sleep 0.1; done
exec bgpd $options -f "$dir/bgpd.conf" -i "$dir/bgpd.pid"
