# SPDX-License-Identifier: GPL-2.0
# The machine and the devices of the boards, in place of all that QEMU has.
CONFIG_ARM_VIRT=y
CONFIG_PCIE_PORT=y
CONFIG_EDU=y
CONFIG_NVME_PCI=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_E1000E_PCI_EXPRESS=y
