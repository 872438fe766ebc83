#!/usr/bin/env bash
# Runs the tests in test/browser. A machine without Chromium, where none can be installed, says so and succeeds, so that the other checks can be
# run on it.
#
#   CHROMIUM           the browser; without it, ensure.sh looks for one
#   BROWSER_REQUIRED   set to anything, it is a failure that there is none
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

found=0
CHROMIUM=$("$here/ensure.sh") || found=$?
if [[ $found == 3 ]]; then
	if [[ -n "${BROWSER_REQUIRED:-}" ]]; then
		echo "browser-test: there is no Chromium here, and none could be installed" >&2
		exit 1
	fi
	echo "browser-test: SKIPPED: there is no Chromium here, and none could be installed"
	exit 0
fi
if [[ $found != 0 ]]; then exit "$found"; fi
export CHROMIUM
cd "$here/../../test/browser"
exec go test -count=1 -timeout 15m ./...
