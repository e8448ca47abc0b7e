/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HW_ARM_CMDQV_H
#define HW_ARM_CMDQV_H

#include "hw/acpi/aml-build.h"
#include "hw/platform-bus.h"

#define TYPE_TEGRA241_CMDQV "tegra241-cmdqv"

/*
 * Describe the device in the DSDT, if the machine has it. base and irq are the
 * first address and interrupt of the bus, uid is the SMMUv3's identifier in the
 * IORT.
 */
void cmdqv_add_acpi(Aml *scope, PlatformBusDevice *bus, hwaddr base,
                    uint32_t irq, unsigned int uid);

#endif
