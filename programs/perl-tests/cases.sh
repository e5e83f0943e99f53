#!/bin/bash
# cases.sh [ID...]: Perl's tests by the packaged perl; a case is a test of a file, as FILE:NUMBER, or the file itself, which
# is ok when all of it ran.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$SOURCES/perl/." "$work"
# The packaged perl keeps its libraries; without this the tests take those of a tree that has been built.
sed -i 's/^    @INC = () unless is_miniperl;//' "$work/t/test.pl"
for directory in dist/IO dist/Net-Ping cpan/libnet; do cp "$work"/t/*.pl "$work/$directory/t"; done
cd "$work" || exit 1
if [ $# -gt 0 ]; then
    mapfile -t files < <(printf '%s\n' "${@%:*}" | sort -u)
else
    # Those of Net::Ping that ask for hosts of the Internet are left out.
    files=(t/io/*.t t/op/*.t cpan/*/t/*.t dist/IO/t/*.t dist/Net-Ping/t/{0,1,250,300,450,500,510}*.t ext/*/t/*.t)
fi
for file in "${files[@]}"; do
    case $file in t/*) top=t ;; *) top=${file%/t/*} ;; esac
    (cd "$top" && exec env -u PERL_CORE timeout 180 perl -I. -It/lib -Iblib "${file#"$top"/}" </dev/null 2>/dev/null) >"$work/out"
    status=$?
    sed -n "s|^ok \([0-9]*\).*# [sS][kK][iI][pP].*|skip $file:\1|p; t
        s|^ok \([0-9]*\).*|ok $file:\1|p; s|^not ok \([0-9]*\).*|fail $file:\1|p" "$work/out"
    case $status in
    0) echo "ok $file" ;;
    124) echo "cut $file" ;;
    *) echo "fail $file" ;;
    esac
done
