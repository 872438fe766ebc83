#!/usr/bin/env bash
# Makes a release of the commit twice, in two clones in different directories, and fails unless all files are equal. What is not committed is
# not part of it.
#
#   verify.sh VERSION [DIRECTORY]   with a directory, the release in it must be equal to them, too
#   FRESH_CACHE                     set to anything, the programs of the second are compiled from nothing, which takes many minutes
set -euo pipefail
version=$1 released=${2:+$(cd "$2" && pwd)}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for clone in first elsewhere/second; do
	git clone -q --no-local . "$folder/$clone"
	git -C "$folder/$clone" checkout -q --detach "$(git rev-parse HEAD)"
done
started=$SECONDS
"$folder/first/hack/release/release.sh" "$version"
echo "release-verify: the first took $((SECONDS - started)) s"
started=$SECONDS
BUILD_CACHE=${FRESH_CACHE:+$folder/cache} "$folder/elsewhere/second/hack/release/release.sh" "$version"
echo "release-verify: the second took $((SECONDS - started)) s"
for other in "$folder/elsewhere/second/dist" ${released:+"$released"}; do
	diff -u "$folder/first/dist/SHA256SUMS" "$other/SHA256SUMS" || { echo "release-verify: the releases differ" >&2; exit 1; }
	(cd "$other" && "$folder/first/bin/release" check -version "$version" "$other")
done
cat "$folder/first/dist/SHA256SUMS"
echo "release-verify: all files are equal"
