#!/bin/bash
# Linux's own selftests of sockets, from Debian's package of its sources. That is large: what is needed is unpacked, and the
# programs are kept.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
begin selftests || exit 0
programs=(bind_timewait bind_wildcard cmsg_sender epoll_busy_poll ip_defrag ip_local_port_range ipv6_flowlabel
    ipv6_flowlabel_mgr msg_zerocopy netlink-dumps nettest psock_fanout psock_snd psock_tpacket reuseaddr_conflict
    reuseaddr_ports_exhausted reuseport_addr_any reuseport_bpf reuseport_bpf_cpu reuseport_dualstack rxtimestamp
    sk_bind_sendto_listen sk_connect_zero_addr sk_so_peek_off so_incoming_cpu so_netns_cookie so_txtime socket
    tcp_fastopen_backup_key tcp_inq timestamping tun txring_overwrite
    txtimestamp udpgso
    af_unix/diag_uid af_unix/msg_oob af_unix/scm_pidfd af_unix/scm_rights af_unix/unix_connect)

# The newest that there is.
package=$(apt-cache pkgnames linux-source-6 | sort -V | tail -n 1)
[ -n "$package" ] || { echo "there is no package of Linux's sources" >&2; exit 1; }
cd "$work"
apt-get -q -o APT::Sandbox::User=root download "$package" >/dev/null
tests=$package/tools/testing/selftests
dpkg-deb --fsys-tarfile ./*.deb | tar -xO "./usr/src/$package.tar.xz" |
    tar -xJ "$package/include/uapi" "$tests/net" "$tests/kselftest.h" "$tests/kselftest_harness.h"

# Its headers, without what is meant for the kernel itself: the machine's are of another version.
find "$package/include/uapi" -name '*.h' -exec sed -i -E \
    's/\b__(user|force|iomem)\b//g; /#include <linux\/compiler(_types)?\.h>/d; s/\b__packed\b/__attribute__((packed))/' {} +
mkdir bin
for program in "${programs[@]}"; do
    gcc -O2 -w -D_GNU_SOURCE -isystem "$package/include/uapi" -I"$tests" -o "bin/${program#*/}" "$tests/net/$program.c" -lpthread -lcap -lcrypto
done
chmod -R a+rX bin
touch bin/done
mv bin "$SOURCES/selftests"
