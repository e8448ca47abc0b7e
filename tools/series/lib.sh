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

# The parts of a step's file: a header, the New-file paths, the commit message, the diff. The diff keeps its line
# numbers.
header() { sed -n "/^$/q; s/^$2: //p" "$1"; }
new_files() { sed -n '/^---$/q; s/^New-file: *//p' "$1"; }
message() {
	{ header "$1" Subject; echo; sed '1,/^$/d; /^---$/,$d; /^New-file:/d' "$1"; } | git stripspace
}
# The names of the series, in order, and the steps of one
sections() { sed -n 's/^# series: *//p' "$1/series"; }
section() {
	awk -v want="$2" '/^# series: / { name = $3; next } { sub(/#.*/, "") } NF && name == want { print $1 }' "$1/series"
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
