#!/bin/bash
# HTTP/2: nghttpd, plain and over TLS, with curl, nghttp and h2load.
. "$(dirname "$0")/../lib/outer.sh"
need nghttpd nghttp2-server
need h2load nghttp2-client
need curl curl
need openssl openssl
run 90
