#!/bin/bash
# OpenSSH: sshd and ssh, exit statuses, bulk both ways, sftp, forwarding of TCP and unix sockets, one connection shared by
# several commands (which passes descriptors).
. "$(dirname "$0")/../lib/outer.sh"
PATH=$PATH:/usr/sbin
need sshd openssh-server
need ssh openssh-client
case $(getent passwd "$(id -un)") in
*/nologin | */false) skip "$(id -un) has no shell to log in to" ;;
esac
run 90
