# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts in this folder: paths, git, and functions that read a step.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TREE=$ROOT/build/linux
cd "$ROOT"
mkdir -p build/log

# Neither the caller's git settings nor an outer make may affect the result.
unset MAKEFLAGS MFLAGS MAKELEVEL ${!GIT_@}
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C
DATE='1735689600 +0000'

# refs/series/assembled is the last result of `tree`; .git/laid is a copy of the series/ that it used.
ASSEMBLED=refs/series/assembled
LAID=$TREE/.git/laid

die() { echo "${0##*/}: $*" >&2; exit 1; }
say() { printf '%s: %3d s  %s\n' "${0##*/}" $SECONDS "$*" >&2; }
g() { git -C "$TREE" "$@"; }

# Steps, in order, of the series file in folder $1.
steps() { sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1/series"; }

# What linux $2 needs of the series in folder $1: the steps that need a newer version, which are left out; the patches
# that come first, because newer versions have them; all steps, in order.
before() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -1) != "$2" ]]; }
too_new() {
	local step since
	while read -r step since; do
		! before "${2%%-*}" "$since" || echo "$step"
	done < <(sed -n 's/^\([^#[:space:]]*\)[[:space:]]*# \(6\.12\.[0-9]*\) or later.*/\1 \2/p' "$1/series")
}
older() {
	local patch until
	for patch in "$1"/older/before-*.patch; do
		until=${patch##*/before-}
		! before "${2%%-*}" "${until%%-*}" || echo "older/${patch##*/}"
	done
}
steps_for() { older "$1" "$2"; steps "$1" | grep -vxF -f <(too_new "$1" "$2"); }
base_version() { g show base:Makefile | sed -n 's/^\(VERSION\|PATCHLEVEL\|SUBLEVEL\) = //p' | paste -sd.; }

# The parts of a step's file: a header, the New-file paths, the commit message, the diff. The diff keeps its line
# numbers.
header() { sed -n "/^$/q; s/^$2: //p" "$1"; }
new_files() { sed -n '/^---$/q; s/^New-file: *//p' "$1"; }
message() {
	{ header "$1" Subject; echo; sed '1,/^$/d; /^---$/,$d; /^New-file:/d' "$1"; } | git stripspace
}
# The names of the series, in order, and the steps of one for linux $3
sections() { sed -n 's/^# series: *//p' "$1/series"; }
section() {
	[[ $2 != "$(sections "$1" | head -1)" ]] || older "$1" "$3"
	awk -v want="$2" '/^# series: / { name = $3; next } { sub(/#.*/, "") } NF && name == want { print $1 }' "$1/series" |
		grep -vxF -f <(too_new "$1" "$3")
}
hook() { sed '1,/^---$/s/.*//' "$1"; }

# Turns lines of `git ls-tree` on stdin into a tree of these files.
mktree() {
	local index
	index=$(mktemp -u "$TREE/.git/mktree.XXXXXX")
	GIT_INDEX_FILE=$index g update-index --index-info
	GIT_INDEX_FILE=$index g write-tree
	rm -f "$index"
}
