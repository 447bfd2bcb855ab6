#!/usr/bin/env bash
# Installs the official EventStoreDB client for Node once for all checkouts and
# prints the folder of its modules. The version is pinned here; there is no lock
# file, because that would name a registry.
set -euo pipefail

client=@eventstore/db-client@6.2.1
command -v npm >/dev/null || {
	echo "the test of the Node client needs node and npm (Debian's package names): install them" >&2
	exit 1
}
dir="${XDG_CACHE_HOME:-$HOME/.cache}/foldstream/node/${client##*@}"
if [ ! -e "$dir/done" ]; then
	mkdir -p "$(dirname "$dir")"
	fresh="$(mktemp -d "$dir.XXXXXX")"
	trap 'rm -rf "$fresh"' EXIT
	for wait in 5 20 stop; do
		npm install --prefix "$fresh" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error "$client" </dev/null >&2 && break
		[ "$wait" = stop ] && exit 1
		sleep "$wait"
	done
	touch "$fresh/done"
	mv -T "$fresh" "$dir" 2>/dev/null || [ -e "$dir/done" ] # another one was faster
fi
echo "$dir/node_modules"
