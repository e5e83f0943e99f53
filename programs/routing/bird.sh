#!/bin/sh
# BIRD as an OSPF router, with hellos every second.
cat >"bird-$1.conf" <<CONF
log stderr all;
router id 1.1.1.$(printf %d "'$1");
protocol device { scan time 5; }
protocol direct { ipv4; }
protocol kernel { ipv4 { import none; export where source = RTS_OSPF; }; merge paths on; }
protocol ospf v2 {
    ipv4 { import all; export all; };
    area 0 { interface "eth*" { hello 1; dead 4; wait 3; type broadcast; }; };
}
CONF
exec bird -f -c "bird-$1.conf" -s "$PWD/bird-$1.ctl" -P "$PWD/bird-$1.pid"
