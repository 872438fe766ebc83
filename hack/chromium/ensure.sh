#!/usr/bin/env bash
# Prints the path of Chromium, which the tests of the auditor's page run in. Only the path goes to standard output; progress and errors go to
# standard error. Where there is none, it prints nothing and exits with 3.
#
# Where the program comes from, in this order:
#   1. CHROMIUM, if set: used as it is, an error if there is no such program;
#   2. chromium, chromium-browser or google-chrome on the PATH;
#   3. with BROWSER_INSTALL set to anything, as in CI, the package chromium of Debian, for root on a machine with apt-get.
set -euo pipefail

say() { printf 'chromium: %s\n' "$*" >&2; }

if [[ -n "${CHROMIUM:-}" ]]; then
	if [[ ! -f "$CHROMIUM" || ! -x "$CHROMIUM" ]]; then
		say "CHROMIUM=$CHROMIUM is not a program. Name a Chromium there, or unset the variable to have one looked for."
		exit 1
	fi
	printf '%s\n' "$CHROMIUM"
	exit 0
fi

find_it() {
	local name
	for name in chromium chromium-browser google-chrome; do
		if command -v "$name"; then return 0; fi
	done
	return 1
}

if find_it; then exit 0; fi
if [[ -z "${BROWSER_INSTALL:-}" || $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then exit 3; fi
say "installing the package chromium ..."
# A machine without a network must not wait for it for long.
patience=(-o Acquire::Retries=1 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)
# The lists of packages may be old or missing, and are fetched only then.
install() { DEBIAN_FRONTEND=noninteractive apt-get "${patience[@]}" install -y -qq --no-install-recommends chromium >&2; }
if ! install && ! { apt-get "${patience[@]}" update -qq >&2 && install; }; then
	say "the package chromium could not be installed"
	exit 3
fi
find_it || exit 3
