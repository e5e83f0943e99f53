#!/bin/bash
# mosquitto, a broker of MQTT: subscribers and publishers over IPv4, IPv6 and a unix socket, every quality of service.
. "$(dirname "$0")/../lib/outer.sh"
PATH=$PATH:/usr/sbin
need mosquitto mosquitto
need mosquitto_sub mosquitto-clients
run 60
