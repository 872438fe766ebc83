#!/usr/bin/env bash
# Runs the tests in test/browser. A machine without Chromium says so and succeeds, so that the other checks can be run on it.
#
#   CHROMIUM           the browser; without it, ensure.sh looks for one
#   BROWSER_INSTALL    set to anything, root gets one installed where there is none
#   BROWSER_REQUIRED   set to anything, it is a failure that there is none
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

without="there is no Chromium here: install the package chromium, or name a browser in CHROMIUM"
found=0
CHROMIUM=$("$here/ensure.sh") || found=$?
if [[ $found == 3 ]]; then
	if [[ -n "${BROWSER_REQUIRED:-}" ]]; then
		echo "browser-test: $without" >&2
		exit 1
	fi
	echo "browser-test: SKIPPED: $without"
	exit 0
fi
if [[ $found != 0 ]]; then exit "$found"; fi
export CHROMIUM
cd "$here/../../test/browser"
exec go test -count=1 -timeout 15m ./...
