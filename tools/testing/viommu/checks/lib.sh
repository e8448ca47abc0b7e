# SPDX-License-Identifier: GPL-2.0
# Sourced by the checks: paths, and functions that print results as TAP.

set -euo pipefail
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../../..")
viommu=$top/tools/testing/viommu
tree=$top/build/linux
cd "$top"

tests=0

# skip NAME REASON: what could not be looked at. ../skips/CHECK lists what may be.
skip()
{
	tests=$((tests + 1))
	echo "ok $tests $1 # SKIP $2"
}

# result STATUS NAME [WHY]. Status 77, of tools/series/fetch and all that call it:
# what is needed cannot be downloaded.
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

# try NAME COMMAND...: ok if the command succeeds, its last line tells why not
try()
{
	local name=$1 log status=0
	shift
	log=$(mktemp)
	"$@" >"$log" 2>&1 || status=$?
	[ "$status" = 0 ] || sed 's/^/# /' "$log" | tail -n 40
	result "$status" "$name" "$(tail -n 1 "$log")"
	rm -f "$log"
}

# empty NAME COMMAND...: ok if the command prints nothing
empty()
{
	local name=$1 log status=0
	shift
	log=$(mktemp)
	"$@" >"$log" 2>&1 || true
	if [ -s "$log" ]; then
		status=1
		sed 's/^/# /' "$log" | head -n 40
	fi
	result "$status" "$name"
	rm -f "$log"
}

# board LABEL NAME PROGRAM [OPTION...]: run a program of tools/testing/viommu on
# the board NAME. It prints its own TAP stream; renumber it.
board()
{
	local label=$1 name=$2 program=$3 status=0 cases=0 line
	shift 3
	"$viommu/$program" "$@" --name "$name" >"build/log/$name.tap" || status=$?
	while IFS= read -r line; do
		case $line in
		*"# SKIP"*)	;;
		"ok "*)		cases=$((cases + 1)); result 0 "$label: ${line#ok * }" ;;
		"not ok "*)	result 1 "$label: ${line#not ok * }" ;;
		"# "*)		echo "$line" ;;
		esac
	done <"build/log/$name.tap"
	if [ "$status" = 77 ]; then
		skip "$label: the board" "a package of it cannot be downloaded"
		return
	fi
	[ "$status" = 0 ] && [ "$cases" != 0 ] ||
		result 1 "$label: the board" "exit $status, see build/log/board-$name.log"
}

plan()
{
	echo "1..$tests"
}
