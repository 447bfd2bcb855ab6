#!/usr/bin/env bash
# Makes sure that what the tests need besides Go is there: redis-server, and a
# C compiler for the race detector. As root on Debian it installs what is
# missing; elsewhere it says in one line what to install.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
[ "$(go env CGO_ENABLED)" = 1 ] || missing+=(gcc libc6-dev)
[ ${#missing[@]} -gt 0 ] || exit 0

say_what() {
	echo "foldstream's tests need ${missing[*]} (Debian's package names): install them, for example with: sudo apt-get install ${missing[*]}" >&2
	exit 1
}
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || say_what

# The package would start a server on port 6379, and again at every boot. The
# tests start servers of their own, on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}" >&2
{
	apt-get -qq -o Acquire::Retries=3 update &&
		apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}"
} </dev/null >&2 || say_what
if [ -d /run/systemd/system ] && [[ " ${missing[*]} " == *" redis-server "* ]]; then
	systemctl disable --quiet redis-server || true
fi
