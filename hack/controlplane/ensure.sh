#!/usr/bin/env bash
# Prints the directory that holds etcd, kube-apiserver, kube-controller-manager and kubectl, preparing it first if need be.
# Only the path goes to standard output; progress and errors go to standard error.
#
# Where the programs come from, in this order:
#   1. KUBEBUILDER_ASSETS, if set: used as it is, an error if a program is missing there;
#   2. an earlier run's directory below the user's cache directory;
#   3. setup-envtest, if its download host answers in time (it has no kube-controller-manager, so that one is built);
#   4. a build from the Go module beside this script: about ten minutes on two cores, once.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(etcd kube-apiserver kube-controller-manager kubectl)

say() { printf 'controlplane: %s\n' "$*" >&2; }

missing_in() { # DIR: names the programs that DIR lacks
	local p
	for p in "${programs[@]}"; do [[ -x "$1/$p" ]] || printf '%s ' "$p"; done
}

if [[ -n "${KUBEBUILDER_ASSETS:-}" ]]; then
	missing=$(missing_in "$KUBEBUILDER_ASSETS")
	if [[ -n "$missing" ]]; then
		say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks: ${missing% }. Add what is missing, or unset the variable to have them prepared."
		exit 1
	fi
	printf '%s\n' "$KUBEBUILDER_ASSETS"
	exit 0
fi

# Settings of a build that this one is part of, such as another module file, are not for this module.
# One setting of -trimpath and CGO_ENABLED for everything that the project compiles: both are part of
# the build cache's key.
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" GOWORK=off

version=$(cd "$here" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
platform="$(go env GOOS)-$(go env GOARCH)"
cache=${XDG_CACHE_HOME:-}
if [[ -z "$cache" ]]; then
	if [[ $(go env GOOS) == darwin ]]; then cache="$HOME/Library/Caches"; else cache="$HOME/.cache"; fi
fi
# The module's checksum file is part of the key, so that a change of any version in it is a new directory.
key="$version-$platform-$(cksum <"$here/go.sum" | cut -d' ' -f1)"
dir="$cache/maxcompute-operator/controlplane/$key"

if [[ -z "$(missing_in "$dir")" ]]; then
	printf '%s\n' "$dir"
	exit 0
fi
mkdir -p "$dir"

download() { # setup-envtest has etcd, kube-apiserver and kubectl
	local minor=${version#v} tool assets
	minor=${minor%.*}
	command -v timeout >/dev/null || return 1
	# A new machine fetches and builds the tool itself, for which the download's time is not meant.
	tool=$(cd "$here/../tools" && go tool -n setup-envtest) || return 1
	assets=$(timeout "${ENVTEST_TIMEOUT:-120}" "$tool" use "$minor.x" --bin-dir "$dir/download" -p path 2>/dev/null) || return 1
	local p
	for p in etcd kube-apiserver kubectl; do
		[[ -x "$assets/$p" ]] || return 1
		ln -sf "$assets/$p" "$dir/$p"
	done
}

if [[ ! -x "$dir/kube-apiserver" ]]; then
	if download; then
		say "setup-envtest provided etcd, kube-apiserver and kubectl $version"
	else
		say "setup-envtest cannot download here; building from Go modules (about ten minutes on two cores, once)"
	fi
fi

short=${version#v}
major=${short%%.*} rest=${short#*.}
version_pkg=k8s.io/component-base/version
ldflags="-s -w -X $version_pkg.gitVersion=$version -X $version_pkg.gitMajor=$major -X $version_pkg.gitMinor=${rest%%.*} -X $version_pkg.gitTreeState=clean"

number=0
for program in "${programs[@]}"; do
	number=$((number + 1))
	[[ -x "$dir/$program" ]] && continue
	package=k8s.io/kubernetes/cmd/$program
	[[ $program == etcd ]] && package=go.etcd.io/etcd/server/v3
	say "building $program ($number of ${#programs[@]}) ..."
	started=$SECONDS
	# Built beside and renamed, so that an interrupted build leaves no half-written program behind.
	(cd "$here" && go build -ldflags "$ldflags" -o "$dir/.$program.$$" "$package") >&2
	mv "$dir/.$program.$$" "$dir/$program"
	say "built $program in $((SECONDS - started)) s"
done
printf '%s\n' "$dir"
