#!/bin/bash
# cases.sh [ID...]: tests that Debian packages; a case is a test of a program, as glib/PROGRAM:NAME, or a program itself,
# which is ok when it ends well. Those that look at what the machine has, or change it, are left out, and libsoup's server-test, which
# on a busy machine hangs one time in ten on the host's kernel too, and those of its tests that want an Apache.
INSTALLED=/usr/libexec/installed-tests
SYSTEMD=/usr/lib/systemd/tests
DBUS=/usr/lib/dbus-1.0/installed-tests/dbus
if [ $# -gt 0 ]; then
    mapfile -t programs < <(printf '%s\n' "${@%%:*}" | sort -u)
else
    programs=(glib/{async-close-output-stream,async-splice-output-stream,credentials,gdbus-addresses,gdbus-auth,gdbus-non-socket}
        glib/{gdbus-peer,gdbus-peer-object-manager,gdbus-server-auth,gsocketclient-slow,inet-address,io-channel,io-stream}
        glib/{pollable,proxy-test,readwrite,socket,socket-address,socket-listener,socket-service,stream-rw_all,unix,unix-fd}
        glib/{unix-streams,sleepy-stream}
        systemd/test-{af-list,bus-address,bus-creds,bus-objects,bus-queue-ref-cycle,bus-server,bus-watch-bind,dhcp-client}
        systemd/test-{dhcp-server,dhcp6-client,fd-util,fdset,io-util,ipv4ll,lldp-rx,ndisc-ra,ndisc-rs,resolved-stream}
        systemd/test-{socket-netlink,socket-util,varlink}
        libsoup-3.0/{brotli-decompressor,cache,chunk-io,coding,context,continue,forms,hsts,http2,http2-body-stream}-test
        libsoup-3.0/{logger,misc,multipart,no-ssl,ntlm,redirect,request-body,samesite,server-auth}-test
        libsoup-3.0/{session,sniffing,ssl,streaming,timeout,unix-socket,websocket}-test
        glib-networking/{certificate-gnutls,connection-gnutls,file-database-gnutls}
        dbus/test-{corrupt,dbus-daemon,fdpass,loopback,monitor,refs,relay,server-oom,uid-permissions})
fi
cd "$TMPDIR" || exit 1
for program in "${programs[@]}"; do
    name=${program#*/}
    case $program in
    systemd/*)
        timeout 180 "$SYSTEMD/$name" </dev/null >/dev/null 2>&1
        status=$?
        ;;
    *)
        suite=$INSTALLED/${program%%/*}
        [ "${program%%/*}" != dbus ] || suite=$DBUS
        G_TEST_SRCDIR=$suite G_TEST_BUILDDIR=$suite timeout 180 "$suite/$name" --tap </dev/null 2>/dev/null |
            sed -nE "s,^ok [0-9]+ ([^ ]*) # SKIP.*,skip $program:\1,p; t; s,^ok [0-9]+ ([^ ]*).*,ok $program:\1,p
                s,^not ok [0-9]+ ([^ ]*).*,fail $program:\1,p"
        status=${PIPESTATUS[0]}
        ;;
    esac
    case $status in
    0) echo "ok $program" ;;
    77) echo "skip $program" ;;
    124) echo "cut $program" ;;
    *) echo "fail $program" ;;
    esac
done
