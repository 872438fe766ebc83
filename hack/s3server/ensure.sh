#!/usr/bin/env bash
# Prints the path of an S3 server for tests, versitygw, building it first if need be.
# Only the path goes to standard output; progress and errors go to standard error.
#
# Where the program comes from, in this order:
#   1. S3_SERVER, if set: used as it is, an error if there is no such program;
#   2. an earlier run's build below the user's cache directory;
#   3. a build from the Go module beside this script: about two minutes on two cores, once.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 's3server: %s\n' "$*" >&2; }

if [[ -n "${S3_SERVER:-}" ]]; then
	if [[ ! -f "$S3_SERVER" || ! -x "$S3_SERVER" ]]; then
		say "S3_SERVER=$S3_SERVER is not a program. Name versitygw there, or unset the variable to have it built."
		exit 1
	fi
	printf '%s\n' "$S3_SERVER"
	exit 0
fi

# Settings of a build that this one is part of, such as another module file, are not for this module. One setting of -trimpath and
# CGO_ENABLED for everything that the project compiles: both are part of the build cache's key.
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" GOWORK=off

version=$(cd "$here" && go list -m -f '{{.Version}}' github.com/versity/versitygw)
platform="$(go env GOOS)-$(go env GOARCH)"
cache=${XDG_CACHE_HOME:-}
if [[ -z "$cache" ]]; then
	if [[ $(go env GOOS) == darwin ]]; then cache="$HOME/Library/Caches"; else cache="$HOME/.cache"; fi
fi
# The module's checksum file is part of the key, so that a change of any version in it is a new directory.
key="$version-$platform-$(cksum <"$here/go.sum" | cut -d' ' -f1)"
dir="$cache/maxcompute-operator/s3server/$key"

if [[ ! -x "$dir/versitygw" ]]; then
	mkdir -p "$dir"
	say "building versitygw $version (about two minutes on two cores, once) ..."
	started=$SECONDS
	# Built beside and renamed: an interrupted build leaves no half-written program behind, and of two builds at once the later replaces
	# the earlier, which goes on running where it runs.
	trap 'rm -f "$dir/.versitygw.$$"' EXIT
	(cd "$here" && go build -ldflags "-s -w" -o "$dir/.versitygw.$$" github.com/versity/versitygw/cmd/versitygw) >&2
	mv "$dir/.versitygw.$$" "$dir/versitygw"
	say "built versitygw in $((SECONDS - started)) s"
fi
printf '%s\n' "$dir/versitygw"
