# SPDX-License-Identifier: GPL-2.0
# Sourced by the checks: paths, and functions that print results as TAP.

set -euo pipefail
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../../..")
viommu=$top/tools/testing/viommu
tree=$top/build/linux
cd "$top"
. tools/series/ccache.sh

tests=0

# skip NAME REASON: a test that cannot run. ../skips/CHECK lists the allowed ones.
skip()
{
	tests=$((tests + 1))
	echo "ok $tests $1 # SKIP $2"
}

# result STATUS NAME [WHY]. Status 77 comes from tools/series/fetch and its callers:
# something cannot be downloaded.
result()
{
	if [ "$1" = 77 ]; then
		skip "$2" "${3:-cannot be downloaded}"
		return
	fi
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests $2"
	else
		echo "not ok $tests $2${3:+ # $3}"
	fi
}

# attempt LOG COMMAND...: start it in a subshell that ends at the first failing
# command. bash would not do that in a condition, so the caller must wait for it.
attempt()
{
	local log=$1
	shift
	(set -euo pipefail; "$@") >"$log" 2>&1 &
}

# lines ARGUMENT...: grep that may find nothing, but must not fail
lines()
{
	grep "$@" || [ $? = 1 ]
}

# progress WHAT: print the progress
progress()
{
	printf '%s: %d s  %s\n' "${0##*/}" "$SECONDS" "$*" >&2
}

# try NAME COMMAND...: ok if the command succeeds, its last line tells why not
try()
{
	local name=$1 log status=0
	shift
	log=$(mktemp)
	attempt "$log" "$@"
	wait $! || status=$?
	[ "$status" = 0 ] || sed 's/^/# /' "$log" | tail -n 40
	result "$status" "$name" "$(tail -n 1 "$log")"
	rm -f "$log"
}

# empty NAME COMMAND...: ok if the command succeeds and prints nothing
empty()
{
	local name=$1 log status=0
	shift
	log=$(mktemp)
	attempt "$log" "$@"
	wait $! || status=$?
	head -n 40 "$log" | sed 's/^/# /'
	if [ "$status" != 0 ]; then
		result 1 "$name" "exit $status"
	elif [ -s "$log" ]; then
		result 1 "$name"
	else
		result 0 "$name"
	fi
	rm -f "$log"
}

# renumber PREFIX <FILE: turn the TAP of one or more programs into results of this
# check. Fails if there are fewer results than the plans announce, or none.
renumber()
{
	local line seen=0 promised=0

	while IFS= read -r line; do
		case $line in
		"ok "*|"not ok "*)
			tests=$((tests + 1))
			seen=$((seen + 1))
			echo "${line%%ok *}ok $tests $1${line#*ok * }" ;;
		1..*)	line=${line%% *} promised=$((promised + ${line#1..})) ;;
		"# "*)	echo "$line" ;;
		esac
	done
	[ "$seen" != 0 ] && [ "$seen" = "$promised" ] || {
		echo "# $seen tests of $promised"
		return 1
	}
}

# board LABEL NAME PROGRAM [OPTION...]: run a program of tools/testing/viommu on
# the board NAME. It prints its own TAP stream; renumber it.
board()
{
	local label=$1 name=$2 program=$3 status=0 all=0
	shift 3
	progress "the board $name"
	"$viommu/$program" "$@" --name "$name" >"build/log/$name.tap" || status=$?
	if [ "$status" = 77 ]; then
		skip "$label: the board" "a package of it cannot be downloaded"
		return
	fi
	renumber "$label: " <"build/log/$name.tap" || all=1
	[ "$status" = 0 ] && [ "$all" = 0 ] ||
		result 1 "$label: the board" "exit $status, see build/log/board-$name.log"
}

plan()
{
	echo "1..$tests"
}
