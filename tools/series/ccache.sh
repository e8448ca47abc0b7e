# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts that compile: runs all compilers through ccache, if it is installed. Its folder is the user's
# own, by default ~/.cache/ccache, so it outlives build/ and serves every clone: paths are relative to the top of the
# clone. Sources and headers do not change while a compiler runs, so ccache may use files that were just written.

if [ -z "${CCACHE_BASEDIR-}" ]; then
	CCACHE_BASEDIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
	export CCACHE_BASEDIR CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE-10G}
	export CCACHE_SLOPPINESS=include_file_ctime,include_file_mtime
	PATH=/usr/lib/ccache:$PATH
fi
