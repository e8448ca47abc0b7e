# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the scripts that compile: from here on all compilers go through ccache, as far as it is there. Its folder is
# the user's own, by default ~/.cache/ccache, so it outlives build/ and serves every clone: paths count from the top of
# the clone. Sources and headers do not change while a compiler runs, so those written just before are fine.

if [ -z "${CCACHE_BASEDIR-}" ]; then
	CCACHE_BASEDIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
	export CCACHE_BASEDIR CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE-10G}
	export CCACHE_SLOPPINESS=include_file_ctime,include_file_mtime
	PATH=/usr/lib/ccache:$PATH
fi
