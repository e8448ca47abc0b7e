/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCIe-to-PCI bridge with the ID of ASPEED's AST1150, which forwards the
 * requester IDs of the devices behind it:
 *
 *     -device ast1150,id=bmc -device edu,bus=bmc,addr=1
 *
 * QEMU replaces the requester IDs of DMA from a conventional bus, so the bus
 * behind the bridge is a PCI Express one. It still replaces those of MSIs, by
 * the type of the bridge: they do not arrive.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie.h"
#include "qemu/module.h"

static void ast1150_realize(PCIDevice *d, Error **errp)
{
    pci_bridge_initfn(d, TYPE_PCIE_BUS);
    if (pcie_cap_init(d, 0, PCI_EXP_TYPE_PCI_BRIDGE, 0, errp) < 0) {
        pci_bridge_exitfn(d);
    }
}

static void ast1150_exit(PCIDevice *d)
{
    pcie_cap_exit(d);
    pci_bridge_exitfn(d);
}

static void ast1150_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    k->vendor_id = 0x1a03;
    k->device_id = 0x1150;
    k->realize = ast1150_realize;
    k->exit = ast1150_exit;
    k->config_write = pci_bridge_write_config;
    device_class_set_legacy_reset(dc, pci_bridge_reset);
    set_bit(DEVICE_CATEGORY_BRIDGE, dc->categories);
}

static const TypeInfo ast1150_info = {
    .name = "ast1150",
    .parent = TYPE_PCI_BRIDGE,
    .instance_size = sizeof(PCIBridge),
    .class_init = ast1150_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { },
    }
};

static void ast1150_register(void)
{
    type_register_static(&ast1150_info);
}

type_init(ast1150_register)
