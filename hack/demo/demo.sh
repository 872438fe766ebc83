#!/usr/bin/env bash
# Shows the operator's main job from end to end, without a cloud account: a control plane, a fake cloud and the operator are
# started on this machine, a role is declared, changed by hand behind the operator's back and shrunk, a table is shared with
# another project, permissions are asked for, approved, rejected and over, dashboards of another cloud are exported, and the
# role is deleted.
#
#   make demo                     stops and removes everything at the end, also after Ctrl-C or a failure
#   KEEP=1 make demo              leaves everything running, to look around
#   hack/demo/demo.sh stop        stops whatever KEEP=1 left running
#
# TIMEOUT (60) is how many seconds a step may take. Everything lives in one directory below TMPDIR, on free loopback ports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

KEEP=${KEEP:-}
TIMEOUT=${TIMEOUT:-60}
# What the manager calls --default-interval: how often it looks for drift. Ten minutes unless told otherwise.
LOOK_EVERY=5s
# For how long the request is that is to end during the demo.
REQUEST_FOR=20s
PROJECT=analytics_prod ROLE=bi_reader PARTNER=partner_proj
# Of the other cloud.
INSIGHT_PROJECT=0a1b2c3d4e5f60718293a4b5c6d7e8f9 WORKSPACE=4f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f

tmp=${TMPDIR:-/tmp}
prefix=${tmp%/}/maxcompute-operator-demo.
dir=   # of this demo
child= # the process that await waits for

main() {
	case "${1:-}" in
	stop) stop_kept ;;
	'') demo ;;
	*)
		warn "usage: $0 [stop]"
		exit 2
		;;
	esac
}

demo() {
	prepare
	start_everything
	declare_role
	correct_drift
	shrink_role
	share_table
	ask_for_permissions
	export_dashboards
	delete_role
	summarise
}

# --- The steps ------------------------------------------------------------------------------------------------------

prepare() {
	[[ -x bin/manager && -x bin/fakecloud ]] || die "bin/manager and bin/fakecloud are not built: run make demo"
	title "maxcompute-operator: permissions of a MaxCompute role as a Kubernetes object"
	say "All of this happens on this machine. The cloud is a fake one that keeps its state in memory and checks signatures."

	assets=$(hack/controlplane/ensure.sh)
	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 141' PIPE
	dir=$(mktemp -d "${prefix}XXXXXX")
	export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
	go build -o "$dir/" ./hack/devcluster ./hack/demo/cloud

	export PATH="$dir:$assets:$PATH" KUBECONFIG="$dir/cluster/kubeconfig"
	# Nothing of the user's own kubectl settings, and no cache left in the home directory.
	export KUBECACHEDIR="$dir/kube-cache" KUBERC=off
}

start_everything() {
	title "1. Start a Kubernetes control plane, the fake cloud and the operator"
	local from
	from=$(now)
	say "etcd, kube-apiserver and kube-controller-manager ..."
	await "the control plane did not start" devcluster up --dir "$dir/cluster" --assets "$assets" >"$dir/devcluster.log"
	kubectl config set-context --current --namespace=demo >/dev/null
	run kubectl apply --server-side -f config/crd/bases
	await "the kinds were not accepted" kubectl wait --for=condition=Established --timeout="${TIMEOUT}s" -f config/crd/bases >/dev/null

	background fakecloud bin/fakecloud --address-file "$dir/fakecloud.url" --project "$PROJECT" --project "$PARTNER" \
		--identity DEMO-KEY-ID:demo-secret-that-opens-nothing --identity PARTNER-KEY-ID:partner-secret-that-opens-nothing
	await "the fake cloud did not start" until_file "$dir/fakecloud.url"
	FAKECLOUD_URL=$(<"$dir/fakecloud.url")
	export FAKECLOUD_URL
	say "The fake cloud answers at $FAKECLOUD_URL; it has two empty projects, $PROJECT and $PARTNER."

	mkdir "$dir/exports"
	# Insecure, because the fake cloud has no TLS; a real account needs no such flag.
	background manager bin/manager --kubeconfig "$KUBECONFIG" --allow-insecure-endpoints --default-interval "$LOOK_EVERY" \
		--export-directory "$dir/exports" --health-probe-bind-address 0 --zap-encoder console --zap-stacktrace-level panic
	say "The operator runs and will look for drift every $LOOK_EVERY."
	say "Below, cloud is a helper of this demo: it asks the fake cloud itself, past the operator."
	took "control plane, fake cloud and operator started" "$from"
}

declare_role() {
	title "2. Declare a role"
	say "Which account, and the key to it:"
	run_sed_apply hack/demo/account.yaml
	say "" "What the role may do:"
	run cat hack/demo/role.yaml
	local from
	from=$(now)
	run kubectl apply -f hack/demo/role.yaml
	wait_ready connection/prod projectrole/bi-reader
	took "role created and Ready" "$from"
	run kubectl get connections,projectroles
	run kubectl get connections,projectroles -o wide
	say "" "What the operator asked of the cloud for that, the look that confirms the result included:"
	run cloud calls
	say "" "What the role may do now, read from the cloud itself:"
	run cloud acl "$PROJECT" "$ROLE"
}

correct_drift() {
	title "3. Somebody revokes a permission by hand, past the operator"
	local from last
	last=$(cloud last)
	from=$(now)
	run cloud revoke "$PROJECT" "$ROLE" table dwd_orders Select
	run cloud acl "$PROJECT" "$ROLE"
	say "" "The operator is not told. It finds out at its next look, at most $LOOK_EVERY from now, give or take a tenth ..."
	await "the operator did not grant Select on dwd_orders again" \
		cloud await --timeout "${TIMEOUT}s" "$PROJECT" "$ROLE" table dwd_orders Select
	took "revoked grant found and put back" "$from"
	run cloud calls --since "$last" --writes
	run cloud acl "$PROJECT" "$ROLE"
}

shrink_role() {
	title "4. Drop a table from the manifest"
	local from last
	run_diff hack/demo/role.yaml hack/demo/role-smaller.yaml
	last=$(cloud last)
	from=$(now)
	run kubectl apply -f hack/demo/role-smaller.yaml
	await "the operator did not revoke Select on dws_revenue_1d" \
		cloud await --gone --timeout "${TIMEOUT}s" "$PROJECT" "$ROLE" table dws_revenue_1d Select
	took "dropped grant revoked" "$from"
	wait_ready projectrole/bi-reader
	run cloud calls --since "$last" --writes
	run cloud acl "$PROJECT" "$ROLE"
	say "" "What the operator did so far, as events of the object:"
	run kubectl events --for projectrole/bi-reader
}

share_table() {
	title "5. Share a table with another project"
	local from last
	last=$(cloud last)
	say "The partner's side, in a namespace and with a key of its own: install a package, and let a role read it."
	run cat hack/demo/partner.yaml
	run_sed_apply hack/demo/partner.yaml
	await "the installation does not wait for the package" kubectl wait --namespace=partner --timeout="${TIMEOUT}s" packageinstallation/shared-pkg \
		--for=jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'=SourceNotAvailable >/dev/null
	run kubectl get packageinstallations -n partner -o wide
	say "" "Nobody shares that package yet. Now the owner of the table does:"
	run cat hack/demo/package.yaml
	from=$(now)
	run kubectl apply -f hack/demo/package.yaml
	wait_ready maxcomputepackage/shared-pkg
	wait_ready --namespace=partner packageinstallation/shared-pkg projectrole/analyst
	took "table shared, package installed and readable" "$from"
	run kubectl get maxcomputepackages,packageinstallations,projectroles -A
	run cloud calls --since "$last" --writes
	run cloud packages "$PROJECT"
	run cloud packages "$PARTNER"
	run cloud acl "$PARTNER" analyst
}

ask_for_permissions() {
	title "6. Ask for permissions that a person approves"
	local from last deadline
	last=$(cloud last)
	cloud table "$PROJECT" dwd_orders order_id amount ds
	run cat hack/demo/requests.yaml
	from=$(now)
	deadline=$(cloud in "$REQUEST_FOR")
	show "sed s,DEADLINE,$deadline, hack/demo/requests.yaml | kubectl apply -f -"
	sed "s,DEADLINE,'$deadline'," hack/demo/requests.yaml | kubectl apply -f -
	await_reason AwaitingApproval quarterly-report just-curious quick-check
	took "three requests submitted" "$from"
	run kubectl get permissionapplies
	run cloud calls --since "$last" --writes
	say "" "The mark at the end of a reason is how the operator finds its order again, should an answer get lost:"
	run cloud orders
	say "" "Two are approved, one is rejected, by a person. The operator looks every few seconds here, and the less often the longer it waits:"
	run cloud approve "$(order_of quarterly-report)" "for the report"
	run cloud reject "$(order_of just-curious)" "curiosity is no reason"
	run cloud approve "$(order_of quick-check)"
	from=$(now)
	await_reason Granted quarterly-report
	await_reason Rejected just-curious
	took "decisions noticed" "$from"
	run kubectl get permissionapplies -o wide
	run cloud permissions "$PROJECT" dwd_orders
	say "" "The third was for $REQUEST_FOR only. It ends by itself:"
	await_reason Expired quick-check
	run kubectl get permissionapplies
	say "" "What was granted for longer goes with its object:"
	last=$(cloud last)
	show kubectl delete permissionapply quarterly-report
	await "the request was not deleted" kubectl delete permissionapply quarterly-report --timeout="${TIMEOUT}s"
	run cloud calls --since "$last" --writes
	run cloud permissions "$PROJECT" dwd_orders
}

order_of() { kubectl get permissionapply "$1" -o 'jsonpath={.status.orders[0].id}'; }

await_reason() { # REASON REQUEST...
	local reason=$1 name
	shift
	for name in "$@"; do
		await "the request $name is not $reason" kubectl wait --timeout="${TIMEOUT}s" "permissionapply/$name" \
			--for=jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'="$reason" >/dev/null
	done
}

export_dashboards() {
	title "7. Keep dashboards of another cloud as files"
	local from sha256=sha256sum
	command -v sha256sum >/dev/null || sha256='shasum -a 256'
	cloud workspace "$INSIGHT_PROJECT" "$WORKSPACE" EXPORT-KEY-ID export-secret-that-opens-nothing revenue orders
	run cat hack/demo/export.yaml
	from=$(now)
	run_sed_apply hack/demo/export.yaml
	wait_ready connection/insight resourcepackageexport/boards
	took "dashboards exported and stored" "$from"
	run kubectl get resourcepackageexports
	run kubectl get resourcepackageexport boards -o 'jsonpath={.status.exports[0]}{"\n"}'
	say "" "The file itself, with the digest that the status names:"
	run_in "$dir/exports" $sha256 "$(kubectl get resourcepackageexport boards -o 'jsonpath={.status.exports[0].location}')"
	say "" "Somebody changes a dashboard, and asks for an export now instead of at three in the morning:"
	run cloud edit "$INSIGHT_PROJECT" "$WORKSPACE" revenue
	from=$(now)
	run kubectl annotate resourcepackageexport boards maxcompute-operator.io/requested-at=now
	await "the export that was asked for was not made" kubectl wait --timeout="${TIMEOUT}s" resourcepackageexport/boards \
		--for=jsonpath='{.status.exports[1].name}' >/dev/null
	wait_ready resourcepackageexport/boards
	took "exported again when asked for" "$from"
	run kubectl events --for resourcepackageexport/boards
	run_in "$dir/exports" find . -type f
}

delete_role() {
	title "8. Delete the object"
	local from last
	last=$(cloud last)
	from=$(now)
	show kubectl delete projectrole bi-reader
	await "the object was not deleted" kubectl delete projectrole bi-reader --timeout="${TIMEOUT}s"
	await "the role is still in the cloud" cloud await --gone --timeout "${TIMEOUT}s" "$PROJECT" "$ROLE"
	took "object deleted, role gone from the cloud" "$from"
	run cloud calls --since "$last" --writes
	run cloud acl "$PROJECT" "$ROLE"
}

summarise() {
	title "Done"
	local i
	for i in "${!steps[@]}"; do printf '%-50s %8s\n' "${steps[$i]}" "${times[$i]}"; done
	printf '%-50s %8s\n' "all of this" "$SECONDS s"
	[[ $KEEP == 1 ]] || say "" "Stopping what was started. KEEP=1 make demo leaves it running."
}

# --- Starting and stopping ------------------------------------------------------------------------------------------

background() { # NAME COMMAND...: starts a program whose command line names the demo's directory
	local name=$1
	shift
	"$@" >"$dir/$name.log" 2>&1 </dev/null &
	echo $! >"$dir/$name.pid"
}

cleanup() {
	local status=$?
	# A second Ctrl-C must not interrupt the cleaning up, nor a reader who is gone.
	trap '' HUP INT TERM PIPE
	trap - EXIT
	[[ -d $dir ]] || exit "$status"
	if [[ $status -ge 128 ]]; then
		warn "" "Interrupted; stopping what was started."
	elif [[ $status -ne 0 ]]; then
		explain_failure >&2
	fi
	if [[ $KEEP == 1 && $status -lt 128 ]]; then
		touch "$dir/kept"
		explain_kept
	else
		stop_all || status=1
	fi
	exit "$status"
}

explain_failure() {
	local log
	for log in "$dir/fakecloud.log" "$dir/manager.log"; do
		[[ -s $log ]] || continue
		say "" "The end of ${log##*/}:"
		tail -n 20 "$log"
	done
	if [[ -f $KUBECONFIG ]]; then
		run kubectl get maxcompute -A -o wide --request-timeout=5s || true
	fi
}

stop_all() { # stops what runs for $dir and removes $dir
	local pid pids
	# First what waits for the others, so that it does not complain that they are gone.
	pids=$(
		echo "$child"
		jobs -p
		cat "$dir"/*.pid 2>/dev/null || true
	)
	for pid in $pids; do stop_process "$pid"; done
	if [[ -x $dir/devcluster ]] && ! "$dir/devcluster" down --dir "$dir/cluster" >/dev/null; then
		warn "The control plane does not stop; its files are in $dir/cluster."
		return 1
	fi
	rm -rf "$dir"
}

stop_process() { # PID
	local signal tenths
	for signal in TERM KILL; do
		for tenths in {1..200}; do
			ours "$1" || return 0
			if [[ $tenths == 1 ]]; then kill -"$signal" "$1" 2>/dev/null || true; fi
			sleep 0.1
		done
	done
}

ours() { # PID: whether it still runs as a child of this shell or, for pids are given out again, for this demo
	local line children
	children=$(jobs -pr)
	if [[ $'\n'$children$'\n' == *$'\n'$1$'\n'* ]]; then return 0; fi
	if [[ -d /proc/self ]]; then
		line=$(tr '\0' ' ' <"/proc/$1/cmdline") || return 1
	else
		line=$(ps -ww -o command= -p "$1") || return 1
	fi 2>/dev/null
	[[ $line == *"$dir"* ]]
}

explain_kept() {
	title "Left running"
	cat <<-END
		export KUBECONFIG=$KUBECONFIG
		export FAKECLOUD_URL=${FAKECLOUD_URL:-}
		export PATH="\$PATH:$assets:$dir"   # for kubectl, and cloud of this demo

		For example: kubectl apply -f hack/demo/role.yaml; kubectl get maxcompute; cloud calls; cloud acl $PROJECT $ROLE
		The operator's log: $dir/manager.log

		To stop and remove all of it:

		  hack/demo/demo.sh stop
	END
}

stop_kept() {
	local found=
	for dir in "$prefix"*; do
		[[ -O $dir && -f $dir/kept ]] || continue
		found=1
		stop_all || exit 1
		say "Stopped and removed $dir."
	done
	[[ -n $found ]] || say "No demo was left running."
}

# --- Waiting --------------------------------------------------------------------------------------------------------

await() { # COMPLAINT COMMAND...: runs a command that waits for something, and ends early if a program of the demo does
	local complaint=$1 name
	shift
	"$@" &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		for name in fakecloud manager; do
			if [[ -f $dir/$name.pid ]] && ! kill -0 "$(<"$dir/$name.pid")" 2>/dev/null; then
				die "$complaint: $name has ended"
			fi
		done
		sleep 0.05
	done
	wait "$child" || die "$complaint"
	child=
}

wait_ready() { # OBJECT...
	show kubectl wait --for=condition=Ready "$@"
	await "not Ready within $TIMEOUT s: $*" kubectl wait --for=condition=Ready --timeout="${TIMEOUT}s" "$@"
}

until_file() { # FILE
	local tenths
	for ((tenths = 0; tenths < TIMEOUT * 10; tenths++)); do
		[[ -s $1 ]] && return
		sleep 0.1
	done
	return 1
}

# --- Output ---------------------------------------------------------------------------------------------------------

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' blue=$'\e[34m' green=$'\e[32m' plain=$'\e[0m'
else
	bold='' blue='' green='' plain=''
fi
steps=() times=()

title() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }

say() { printf '%s\n' "$@"; }

show() { printf '\n%s$ %s%s\n' "$blue" "$*" "$plain"; }

run() {
	show "$@"
	"$@"
}

run_in() { # DIRECTORY COMMAND...
	show "${@:2}"
	(cd "$1" && "${@:2}")
}

run_sed_apply() { # FILE: a manifest with the fake cloud's address in it
	show "sed s,FAKECLOUD_URL,$FAKECLOUD_URL, $1 | kubectl apply -f -"
	sed "s,FAKECLOUD_URL,$FAKECLOUD_URL," "$1" | kubectl apply -f -
}

run_diff() { # OLD NEW
	show diff "$@"
	diff "$@" || [[ $? == 1 ]]
}

now() { cloud now; }

took() { # STEP START: notes and prints how long a step took
	local ms=$(($(now) - $2)) time
	time=$(printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)))
	steps+=("$1") times+=("$time")
	printf '\n%s-> %s: %s%s\n' "$green" "$1" "$time" "$plain"
}

warn() { printf '%s\n' "$@" >&2; }

die() {
	warn "" "The demo failed: $1"
	exit 1
}

main "$@"
