#!/usr/bin/env bash
# Prints the directory that holds prometheus and promtool, which the tests of alerts and dashboards need, building them first if need be.
# Only the path goes to standard output; progress and errors go to standard error.
#
# Where the programs come from, in this order:
#   1. PROMETHEUS_ASSETS, if set: used as it is, an error if a program is missing there;
#   2. an earlier run's build below the user's cache directory;
#   3. a build from the Go module beside this script: about five minutes on two cores, once.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(prometheus promtool)

say() { printf 'prometheus: %s\n' "$*" >&2; }

if [[ -n "${PROMETHEUS_ASSETS:-}" ]]; then
	for program in "${programs[@]}"; do
		if [[ ! -f "$PROMETHEUS_ASSETS/$program" || ! -x "$PROMETHEUS_ASSETS/$program" ]]; then
			say "PROMETHEUS_ASSETS=$PROMETHEUS_ASSETS lacks $program. Add it, or unset the variable to have it built."
			exit 1
		fi
	done
	printf '%s\n' "$PROMETHEUS_ASSETS"
	exit 0
fi

# Settings of a build that this one is part of, such as another module file, are not for this module. One setting of -trimpath and
# CGO_ENABLED for everything that the project compiles: both are part of the build cache's key.
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" GOWORK=off

version=$(cd "$here" && go list -m -f '{{.Version}}' github.com/prometheus/prometheus)
platform="$(go env GOOS)-$(go env GOARCH)"
cache=${XDG_CACHE_HOME:-}
if [[ -z "$cache" ]]; then
	if [[ $(go env GOOS) == darwin ]]; then cache="$HOME/Library/Caches"; else cache="$HOME/.cache"; fi
fi
# The module's checksum file is part of the key, so that a change of any version in it is a new directory.
key="$version-$platform-$(cksum <"$here/go.sum" | cut -d' ' -f1)"
dir="$cache/maxcompute-operator/prometheus/$key"

mkdir -p "$dir"
for program in "${programs[@]}"; do
	[[ -x "$dir/$program" ]] && continue
	say "building $program $version (a few minutes on two cores, once) ..."
	started=$SECONDS
	# Built beside and renamed: an interrupted build leaves no half-written program behind, and of two builds at once the later replaces
	# the earlier, which goes on running where it runs.
	trap 'rm -f "$dir/.$program.$$"' EXIT
	# Finding targets through the interfaces of twenty clouds is most of what there is to compile, and the tests name theirs.
	(cd "$here" && go build -tags remove_all_sd -ldflags "-s -w" -o "$dir/.$program.$$" "github.com/prometheus/prometheus/cmd/$program") >&2
	mv "$dir/.$program.$$" "$dir/$program"
	say "built $program in $((SECONDS - started)) s"
done
printf '%s\n' "$dir"
