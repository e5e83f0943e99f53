#!/bin/sh
cat >"vrrp-$1.conf" <<CONF
global_defs {
    script_user root
}
vrrp_instance shared {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority $2
    advert_int 1
    virtual_ipaddress {
        10.0.1.100/24
    }
}
CONF
exec keepalived -n -l -D -P -f "vrrp-$1.conf" -p "vrrp-$1.pid" -r "vrrp-$1.vrrp.pid"
