#!/usr/bin/env bash
# Makes a release in dist/: programs with their bills of materials, the image, the manifests, the chart if there is one, and checksums.
#
#   release.sh VERSION   with a leading v, such as v0.1.0
#   IMAGE                where the image will be, without a tag; install.yaml names it. maxcompute-operator if it is not set
#   SOURCE_DATE_EPOCH    the time in everything, in seconds since 1970; the commit's if it is not set
#   ALLOW_DIRTY          set to 1, files that differ from the commit are no reason to refuse
#   BUILD_CACHE          another build cache for the programs that are released; verify.sh gives an empty one
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD

# What else decides over the bytes of a program, at its default, whatever it is on this machine.
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" GOWORK=off GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT= GOFIPS140=off
unset GOOS GOARCH

say() { printf 'release: %s\n' "$*" >&2; }
tool() { go tool -modfile="$root/hack/tools/go.mod" "$@"; }

(cd hack/release && go build -o "$root/bin/release" .)
version=${1:-}
bin/release version "$version"
if [[ -n $(git status --porcelain) && "${ALLOW_DIRTY:-}" != 1 ]]; then
	say "there are files that differ from the commit, and nobody could make this release again; commit them, or set ALLOW_DIRTY=1"
	exit 1
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
dist=$root/dist work=$root/bin/.release
rm -rf "$dist" "$work"
mkdir -p "$dist" "$work"

# build NAME PACKAGE PLATFORM...: programs called NAME-VERSION-OS-ARCHITECTURE.
build() {
	local name=$1 package=$2 platform os arch extension
	for platform in "${@:3}"; do
		os=${platform%/*} arch=${platform#*/} extension=
		if [[ $os == windows ]]; then extension=.exe; fi
		say "building $name for $platform ..."
		GOOS=$os GOARCH=$arch GOCACHE=${BUILD_CACHE:-$(go env GOCACHE)} \
			go build -ldflags "-s -w -X main.version=$version" -o "$dist/$name-$version-$os-$arch$extension" "$package"
	done
}
build manager . linux/amd64 linux/arm64
if [[ -d cmd/kubectl-maxcompute ]]; then
	build kubectl-maxcompute ./cmd/kubectl-maxcompute linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
fi
programs=("$dist"/*)

say "writing the image and bills of materials ..."
bin/release image -out "$dist/maxcompute-operator-$version.oci.tar" -version "$version" -revision "$(git rev-parse HEAD)" "$dist"/manager-*
bin/release sbom -version "$version" "${programs[@]}"

say "writing the manifests ..."
mkdir "$work/install"
(cd "$work/install" && tool kustomize create --resources ../../../config/crd,../../../config/default &&
	tool kustomize edit set image "maxcompute-operator=${IMAGE:-maxcompute-operator}:$version")
{
	echo "# Apply with: kubectl apply --server-side -f install.yaml"
	echo "# Never kubectl delete -f install.yaml: with the definitions it deletes every object, and the operator revokes what they granted."
	tool kustomize build "$work/install"
} >"$dist/install.yaml"

if [[ -d charts/maxcompute-operator ]]; then
	say "packaging the chart ..."
	cp -R charts/maxcompute-operator "$work/"
	bin/release date "$work/maxcompute-operator" # helm records the time of every file
	tool helm package "$work/maxcompute-operator" --version "${version#v}" --app-version "$version" --destination "$dist" >&2
fi

bin/release sums "$dist"
bin/release check -version "$version" "$dist"
rm -rf "$work"
say "dist/ holds $version: $(wc -l <"$dist/SHA256SUMS" | tr -d ' ') files and SHA256SUMS"
