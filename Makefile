# SPDX-License-Identifier: GPL-2.0-only
# The kernel is never built in this folder: every target works under build/.

VMM ?= qemu
export VMM

help:
	@echo 'make tree                the kernel with the series on it: build/linux, one commit a step'
	@echo '                           LINUX_SOURCE=tarball  another base; FORCE=1  discard edits of the tree'
	@echo 'make image               the board kernel'
	@echo '                           CONFIG=file  another configuration; ARCH=arm64|x86_64'
	@echo '                           PAGES=16K|64K  the page size of an arm64 kernel; also for make run and check'
	@echo 'make fold                copy edits made in build/linux back into the project'
	@echo '                           STEP=name.patch  the step that base-file edits belong to'
	@echo 'make series              the three series as mails: build/series, checked with git am'
	@echo '                           FROM='"'"'Name <mail>'"'"'  author and sign-off of all mails'
	@echo 'make deb                 Debian packages, linux-image and linux-headers, of trixie'"'"'s configuration and our'
	@echo '                           options: hours, and 30 GB; ARCH=arm64|x86_64  (default: of this machine)'
	@echo '                           CONFIG=file  another configuration, as for make image'
	@echo 'make debian-patches      the series for debian/patches of the source package linux: build/debian-patches,'
	@echo '                           checked with quilt'
	@echo 'make docs                the pages of Documentation/ as HTML: build/docs/html'
	@echo 'make run                 boot a VMM on the board; VMM=qemu|qemu-cmdqv|qemu-vtd|qemu-amd,'
	@echo '                           SMMUS=1|2, MEMORY=anon|memfd|hugepages'
	@echo '                           AFTER=kexec,crash,reboot,panic  how the guest starts its next kernels'
	@echo '                           DISKS=1|2, ATS=on  with VMM=qemu-vtd; STRICT=1  also with VMM=qemu-amd'
	@echo 'make check               every test'
	@echo 'make bench               the cost of each ioctl, in instructions'
	@echo '                           KERNEL=Image  of another kernel with this interface'
	@echo 'make kcsan               the tests of races, on a kernel with KCSAN: check kcsan'
	@echo 'make clean               remove what was built, keep build/linux'
	@echo 'make distclean           remove build/'

tree fold image debian-patches docs:
	@tools/series/$@

deb:
	@tools/series/image --deb

series:
	@tools/series/export

run check bench:
	@tools/testing/viommu/$@

kcsan:
	@tools/testing/viommu/check kcsan

clean:
	rm -rf build/out build/log build/series build/docs build/debian-patches

distclean:
	rm -rf build

.PHONY: help tree fold image deb debian-patches docs series run check bench kcsan clean distclean
