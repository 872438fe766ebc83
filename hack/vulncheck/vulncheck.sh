#!/usr/bin/env bash
# Scans packages (./... if none are given) for known vulnerabilities. A finding fails, and so does a scan that could not be made, with one
# exception: a machine that cannot reach the vulnerability database at all says so and succeeds, so that the other checks can be run on it.
#
#   GOVULNDB             another database, such as file:///directory; there is no exception for one that was chosen
#   VULNCHECK_REQUIRED   set to anything, there is no exception at all
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
public=https://vuln.go.dev
if [[ $# == 0 ]]; then set -- ./...; fi

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
failed=0
go tool -modfile="$here/../tools/go.mod" govulncheck -db "${GOVULNDB:-$public}" "$@" 2>"$errors" || failed=$?
if [[ $failed == 0 ]]; then exit 0; fi

# A request that got no answer is reported as Get "URL": reason. What a database answers, be it an error, is told in other words; and where
# the certificate is not the database's, somebody did answer.
if grep -q "^govulncheck: fetching vulnerabilities: Get \"$public/[^\"]*\": " "$errors" && ! grep -q "failed to verify certificate" "$errors" &&
	[[ -z "${VULNCHECK_REQUIRED:-}" ]]; then
	echo "vulncheck: SKIPPED: the vulnerability database $public does not answer"
	exit 0
fi
cat "$errors" >&2
exit "$failed"
