#!/bin/bash
# CPython's tests of what stands on sockets: ssl, the clients and servers of its library, poll, epoll and select; case by
# case as on the host's kernel, the differences, each with its reason, in expect.txt.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/cpython.sh"
compare_modules test.test_{ssl,httplib,ftplib,poplib,imaplib,xmlrpc,telnetlib,epoll,poll,select} \
    test.test_{smtplib,nntplib,asyncore,asynchat,httpservers,urllib2_localnet,wsgiref,docxmlrpc}
