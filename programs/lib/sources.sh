# Sourced by install.sh and foreign.sh: what Debian's source packages carry, unpacked where the tests look for it.
#
# fetch NAME SOURCE PATH...: the given paths of a source package, below $SOURCES/NAME. The machine's own list of sources
# is not touched. Security updates are left out: a mirror of theirs may lack the sources.
# begin NAME: false when $SOURCES/NAME is there already; otherwise what was left of it is gone, and $work is a directory to work in,
# which goes when the script ends.
SOURCES=/var/cache/switchboard-programs/sources
begin() {
    [ ! -e "$SOURCES/$1/done" ] || return 1
    mkdir -p "$SOURCES"
    chmod 755 /var/cache/switchboard-programs "$SOURCES"
    rm -rf "${SOURCES:?}/$1"
    work=$(mktemp -d "$SOURCES/fetch.XXXXXX")
    trap "rm -rf '$work'" EXIT
}
fetch() {
    local name=$1 source=$2 work
    shift 2
    begin "$name" || return 0
    mkdir "$work/lists"
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Label: Debian' | sort -u |
        sed 's|^|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] |; s|$| main|' >"$work/list"
    local options=(-q -o "Dir::Etc::SourceList=$work/list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0)
    apt-get "${options[@]}" update >/dev/null
    (cd "$work" && apt-get "${options[@]}" source --download-only "$source" >/dev/null && dpkg-source --no-check -x ./*.dsc unpacked >/dev/null)
    mkdir "$SOURCES/$name"
    (cd "$work/unpacked" && tar -cf - "$@") | tar -xf - -C "$SOURCES/$name"
    rm -rf "$work"
    chmod -R a+rX "$SOURCES/$name"
    touch "$SOURCES/$name/done"
}
