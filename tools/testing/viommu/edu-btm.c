// SPDX-License-Identifier: GPL-2.0
/*
 * Broadcast TLB maintenance: a guest that invalidates with the TLBI instructions
 * of its vCPU, without an ioctl
 *
 * Each VM of KVM has one vCPU and the memory of a struct vm, where it executes
 * guest_code. The device walks the page tables in the same memory.
 *
 * Expects edu devices bound to vfio-pci, on a board with the model that
 * qemu/btm.h describes, and in BTM 1 if the SMMU is to listen and 0 if not. In
 * the latter case no TLBI may have an effect.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "edu-test-fixtures.h"
#include "edu-test-guest.h"

/* The model's own registers and its kinds of TLBIs */
#define CR2			0x2c
#define CR2_PTM			BIT(2)
#define BTM_MAGIC		0xe00
#define BTM_VMID		0xe04
#define BTM_IGNORED		0xe08
#define BTM_LATE		0xe0c
#define BTM_OBEYED(kind)	(0xe40 + 4 * (kind))
#define BTM_DROPPED(kind)	(0xe80 + 4 * (kind))
enum { BTM_VMALL, BTM_ASID, BTM_VA, BTM_VAA, BTM_ALL = 6, BTM_KINDS = 8 };

/*
 * What the vCPU does over and over: write x5 to [x4], call x3, which is one of
 * the instructions behind it, and leave the VM by a store to x2.
 */
extern const char guest_code[], guest_nop[], guest_code_end[];
extern const char guest_vae1is[], guest_vale1is[], guest_vaae1is[];
extern const char guest_aside1is[], guest_vmalle1is[], guest_vae1[], guest_vmalle1[];
asm(".pushsection .rodata\n"
	".globl guest_code, guest_nop, guest_code_end\n"
	".globl guest_vae1is, guest_vale1is, guest_vaae1is\n"
	".globl guest_aside1is, guest_vmalle1is, guest_vae1, guest_vmalle1\n"
	".balign 4\n"
	"guest_code:\n"
	"	str	x5, [x4]\n"
	"	dsb	sy\n"
	"	blr	x3\n"
	"	dsb	sy\n"
	"	isb\n"
	"	str	w0, [x2]\n"
	"	b	guest_code\n"
	"guest_nop: ret\n"
	"guest_vae1is: tlbi vae1is, x0\n"
	"	ret\n"
	"guest_vale1is: tlbi vale1is, x0\n"
	"	ret\n"
	"guest_vaae1is: tlbi vaae1is, x0\n"
	"	ret\n"
	"guest_aside1is: tlbi aside1is, x0\n"
	"	ret\n"
	"guest_vmalle1is: tlbi vmalle1is\n"
	"	ret\n"
	"guest_vae1: tlbi vae1, x0\n"
	"	ret\n"
	"guest_vmalle1: tlbi vmalle1\n"
	"	ret\n"
	"guest_code_end:\n"
	".popsection\n");

/* In the page of context descriptors, of which there are few */
#define CODE			0x800
#define SCRATCH			(GUEST_IPA + 0xff8)
/* Where nothing is: a store is an exit */
#define EXIT_IPA		0x0a000000UL

#define VA(iova)		((iova) >> 12)
#define OF(asid)		((uint64_t)(asid) << 48)

struct guest {
	int fd;
	int vcpu;
	struct kvm_run *run;
	int run_size;
};

static int vcpu_set(struct guest *guest, unsigned int reg, uint64_t value)
{
	struct kvm_one_reg one = {
		/* Index of 32-bit words in the registers; x0 is the first, pc the 33rd */
		.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 2 * reg,
		.addr = (uintptr_t)&value,
	};

	return ioctl(guest->vcpu, KVM_SET_ONE_REG, &one) ? -errno : 0;
}

static void guest_close(struct guest *guest)
{
	if (guest->run)
		munmap(guest->run, guest->run_size);
	guest->run = NULL;
	if (guest->vcpu >= 0)
		close(guest->vcpu);
	if (guest->fd >= 0)
		close(guest->fd);
	guest->vcpu = guest->fd = -1;
}

/* A VM with the memory of @vm, and a vCPU that can execute guest_code there */
static int guest_build(struct guest *guest, int kvm, struct vm *vm)
{
	struct kvm_userspace_memory_region memory = {
		.guest_phys_addr = GUEST_IPA,
		.memory_size = GUEST_PAGES * PAGE_SIZE,
		.userspace_addr = (uintptr_t)vm->mem,
	};
	struct kvm_vcpu_init init;
	int rc;

	*guest = (struct guest){ .fd = -1, .vcpu = -1 };
	guest->fd = guest_create(kvm);
	if (guest->fd < 0)
		return guest->fd;
	memcpy(vm->mem + CODE, guest_code, guest_code_end - guest_code);
	if (ioctl(guest->fd, KVM_SET_USER_MEMORY_REGION, &memory))
		return -errno;
	guest->vcpu = ioctl(guest->fd, KVM_CREATE_VCPU, 0);
	if (guest->vcpu < 0)
		return -errno;
	guest->run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	guest->run = mmap(NULL, guest->run_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, guest->vcpu, 0);
	if (guest->run == MAP_FAILED) {
		guest->run = NULL;
		return -errno;
	}
	if (ioctl(guest->fd, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(guest->vcpu, KVM_ARM_VCPU_INIT, &init))
		return -errno;
	rc = vcpu_set(guest, 32, GUEST_IPA + CODE);
	return rc ? rc : vcpu_set(guest, 2, EXIT_IPA);
}

/* The vCPU writes @value to @ipa and executes one of the instructions */
static int guest_execute(struct guest *guest, uint64_t ipa, uint64_t value,
			 const char *instruction, uint64_t operand)
{
	int rc = vcpu_set(guest, 0, operand);

	rc = rc ? rc : vcpu_set(guest, 3, GUEST_IPA + CODE + (instruction - guest_code));
	rc = rc ? rc : vcpu_set(guest, 4, ipa);
	rc = rc ? rc : vcpu_set(guest, 5, value);
	if (rc)
		return rc;
	if (ioctl(guest->vcpu, KVM_RUN, 0))
		return -errno;
	return guest->run->exit_reason == KVM_EXIT_MMIO &&
	       guest->run->mmio.phys_addr == EXIT_IPA ? 0 : -EPROTO;
}

static int guest_tlbi(struct guest *guest, const char *instruction, uint64_t operand)
{
	return guest_execute(guest, SCRATCH, 0, instruction, operand);
}

/* The vCPU changes the entry of IOVA, and says nothing */
static int guest_map(struct guest *guest, struct vm *vm, int page)
{
	uint64_t *table = vm->s1.root, ipa;
	int shift;

	for (shift = 30; shift > 12; shift -= 9)
		table = (void *)(vm->mem + (table[IOVA >> shift & 511] & PTE_ADDR) - GUEST_IPA);
	ipa = GUEST_IPA + ((uint8_t *)&table[IOVA >> 12 & 511] - vm->mem);
	return guest_execute(guest, ipa, IPA(page) | PTE_PAGE, guest_nop, 0);
}

/* From the vIOMMU on, with an ASID that the device shares with the vCPU */
static int btm_build_more(struct vm *vm, struct edu *edu)
{
	int rc = vm_build_more(vm, edu, VM_HWPTS, VM_S1);

	if (rc)
		return rc;
	vm->s1.cd[0] &= ~BIT(47);	/* ASET */
	return vm_build_more(vm, edu, VM_TRANSLATES, VM_TRANSLATES);
}

/* A VM whose vIOMMU has its VMID */
static int btm_build(struct vm *vm, struct edu *edu, int nth, struct guest *guest,
		     int kvm)
{
	int rc = vm_build(vm, edu, nth, VM_S2);
	int64_t flags;

	*guest = (struct guest){ .fd = -1, .vcpu = -1 };
	rc = rc ? rc : guest_build(guest, kvm, vm);
	if (rc)
		return rc;
	flags = linked_alloc(vm, edu, guest->fd, &vm->viommu);
	if (flags < 0)
		return flags;
	return flags == IOMMU_VIOMMU_ALLOC_SHARED_VMID ? btm_build_more(vm, edu) : -EPROTO;
}

FIXTURE(btm)
{
	struct vm vm;
	struct edu edu;
	struct guest guest;
	int kvm;
	int kmsg;
	volatile uint8_t *smmu;
	bool listens;
	int vmid;
};

static uint32_t get(FIXTURE_DATA(btm) *self, unsigned int reg)
{
	return *(volatile uint32_t *)(self->smmu + reg);
}

/* Clears the counters, which then count the TLBIs of one VMID, and ALLE1 */
static void count_for(FIXTURE_DATA(btm) *self, int vmid)
{
	*(volatile uint32_t *)(self->smmu + BTM_VMID) = vmid;
}

static unsigned int obeyed(FIXTURE_DATA(btm) *self)
{
	unsigned int kind, n = 0;

	for (kind = 0; kind < BTM_KINDS; kind++)
		n += kind == BTM_ALL ? 0 : get(self, BTM_OBEYED(kind));
	return n;
}

FIXTURE_SETUP(btm)
{
	const char *expected = getenv("BTM");
	unsigned long base;
	int fd;

	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->kvm);
	ASSERT_EQ(0, btm_build(&self->vm, &self->edu, 0, &self->guest, self->kvm));
	ASSERT_LANDS(PAGE_A, IOVA);
	self->vmid = vmid_of(&self->vm, self->vm.viommu);
	ASSERT_LT(0, self->vmid);

	ASSERT_EQ(1, sscanf(self->edu.smmu, "smmu3.%lx", &base));
	fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	ASSERT_LE(0, fd);
	self->smmu = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, base);
	ASSERT_NE(MAP_FAILED, self->smmu);
	close(fd);
	ASSERT_EQ(0x314d5442, get(self, BTM_MAGIC));
	self->listens = !(get(self, CR2) & CR2_PTM);
	ASSERT_NE(NULL, expected);
	ASSERT_EQ(atoi(expected), self->listens);
	ASSERT_STREQ(self->listens ? "1\n" : "0\n", edu_iommu_file(0, "broadcast_tlb"));
	ASSERT_LANDS(PAGE_A, IOVA);
	ASSERT_EQ(0, get(self, BTM_LATE));
	count_for(self, self->vmid);
}

FIXTURE_TEARDOWN(btm)
{
	/* Nobody writes CR2 of a running SMMU */
	EXPECT_EQ(0, get(self, BTM_LATE));
	munmap((void *)self->smmu, PAGE_SIZE);
	vm_close(&self->vm, &self->edu);
	guest_close(&self->guest);
	close(self->kvm);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE));
	close(self->kmsg);
}

/* By whatever works here */
static int flush(FIXTURE_DATA(btm) *self)
{
	if (self->listens)
		return guest_tlbi(&self->guest, guest_vmalle1is, 0);
	return invalidate_one(&self->vm, TLBI_NH_ALL, 0);
}

/*
 * The guest moves IOVA to the other page and executes an instruction. Returns
 * whether the device sees the new translation then, or a negative value.
 */
static int moved_by(FIXTURE_DATA(btm) *self, struct guest *by, const char *instruction,
		    uint64_t operand)
{
	struct vm *vm = &self->vm;
	const int old = edu_lands(&self->edu, vm, IOVA);
	const int new = old == PAGE_A ? PAGE_B : PAGE_A;
	int seen;

	if (guest_map(&self->guest, vm, new) || edu_lands(&self->edu, vm, IOVA) != old)
		return -1;
	if (guest_tlbi(by, instruction, operand))
		return -2;
	seen = edu_lands(&self->edu, vm, IOVA);
	if (flush(self) || edu_lands(&self->edu, vm, IOVA) != new)
		return -3;
	return seen == new ? 1 : seen == old ? 0 : -4;
}

static const struct {
	const char *name;
	const char *instruction;
	uint64_t operand;
	bool hits;
	bool by_asid;
} tlbis[] = {
	{ "vae1is", guest_vae1is, OF(GUEST_ASID) | VA(IOVA), true, true },
	{ "vae1is of another page", guest_vae1is, OF(GUEST_ASID) | VA(IOVA + GRANULE), false, true },
	{ "vae1is of another ASID", guest_vae1is, OF(GUEST_ASID + 1) | VA(IOVA), false, true },
	{ "vale1is", guest_vale1is, OF(GUEST_ASID) | VA(IOVA), true, true },
	{ "vaae1is", guest_vaae1is, VA(IOVA), true, false },
	{ "vaae1is of another page", guest_vaae1is, VA(IOVA + GRANULE), false, false },
	{ "aside1is", guest_aside1is, OF(GUEST_ASID), true, true },
	{ "aside1is of another ASID", guest_aside1is, OF(GUEST_ASID + 1), false, true },
	{ "vmalle1is", guest_vmalle1is, 0, true, false },
	/* KVM makes these inner shareable (HCR_EL2.FB) */
	{ "vae1", guest_vae1, OF(GUEST_ASID) | VA(IOVA), true, true },
	{ "vmalle1", guest_vmalle1, 0, true, false },
	{ "nop", guest_nop, 0, false, false },
};
#define TLBIS	(sizeof(tlbis) / sizeof(*tlbis))

TEST_F(btm, without_ioctl)
{
	unsigned int i;

	ASSERT_EQ(0, trace_start());
	for (i = 0; i < TLBIS; i++) {
		EXPECT_EQ(tlbis[i].hits && self->listens,
			  moved_by(self, &self->guest, tlbis[i].instruction, tlbis[i].operand))
			TH_LOG("%s", tlbis[i].name);
	}
	ASSERT_EQ(0, trace_stop());
	if (self->listens) {
		EXPECT_EQ(0, traced("arm_smmu_viommu_cmds", ".*"));
		EXPECT_EQ(2 * TLBIS - 1, obeyed(self));
		EXPECT_EQ(0, get(self, BTM_IGNORED));
		EXPECT_LE(2, get(self, BTM_DROPPED(BTM_VA)));
	} else {
		EXPECT_EQ(TLBIS, traced("arm_smmu_viommu_cmds", ".*"));
		EXPECT_EQ(0, obeyed(self));
		EXPECT_EQ(TLBIS - 1, get(self, BTM_IGNORED));
	}
}

/* An ASID that the CPUs do not share is only reached by TLBIs for all ASIDs */
TEST_F(btm, private_asid)
{
	unsigned int i;

	self->vm.s1.cd[0] |= BIT(47);
	__sync_synchronize();
	ASSERT_EQ(0, invalidate_one(&self->vm, CFGI_CD | CMD_0_SID(VSID), BIT(0)));
	ASSERT_EQ(0, flush(self));
	ASSERT_LANDS(PAGE_A, IOVA);
	for (i = 0; i < TLBIS; i++) {
		EXPECT_EQ(tlbis[i].hits && !tlbis[i].by_asid && self->listens,
			  moved_by(self, &self->guest, tlbis[i].instruction, tlbis[i].operand))
			TH_LOG("%s", tlbis[i].name);
	}
}

/* A VM without a vIOMMU */
TEST_F(btm, other_guest)
{
	struct guest other;
	unsigned int i;

	ASSERT_EQ(0, guest_build(&other, self->kvm, &self->vm));
	for (i = 0; i < TLBIS; i++) {
		EXPECT_EQ(0, moved_by(self, &other, tlbis[i].instruction, tlbis[i].operand))
			TH_LOG("%s", tlbis[i].name);
	}
	/* It cannot get the number of the first one, but the first one still has it */
	EXPECT_EQ(self->listens, moved_by(self, &self->guest, guest_vmalle1is, 0));
	guest_close(&other);
}

/* Two VMs with a device each: the TLBIs of one do not reach the other's */
TEST_F(btm, two_guests)
{
	struct guest other;
	struct vm vm;
	struct edu edu;

	ASSERT_EQ(0, btm_build(&vm, &edu, 1, &other, self->kvm));
	EXPECT_EQ(PAGE_A, edu_lands(&edu, &vm, IOVA));
	EXPECT_EQ(0, guest_map(&other, &vm, PAGE_C));
	EXPECT_EQ(self->listens, moved_by(self, &self->guest, guest_vmalle1is, 0));
	EXPECT_EQ(PAGE_A, edu_lands(&edu, &vm, IOVA));
	EXPECT_EQ(0, moved_by(self, &other, guest_vmalle1is, 0));
	EXPECT_EQ(self->listens ? PAGE_C : PAGE_A, edu_lands(&edu, &vm, IOVA));
	vm_close(&vm, &edu);
	guest_close(&other);
}

/* A vIOMMU without the VM has another VMID */
TEST_F(btm, private_vmid)
{
	struct vm *vm = &self->vm;
	unsigned int i;

	vm_close(vm, &self->edu);
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_VIOMMU));
	ASSERT_EQ(0, btm_build_more(vm, &self->edu));
	guest_close(&self->guest);
	ASSERT_EQ(0, guest_build(&self->guest, self->kvm, vm));
	ASSERT_LANDS(PAGE_A, IOVA);
	for (i = 0; i < TLBIS; i++) {
		ASSERT_EQ(0, guest_map(&self->guest, vm, PAGE_B));
		ASSERT_EQ(0, guest_tlbi(&self->guest, tlbis[i].instruction, tlbis[i].operand));
		EXPECT_LANDS(PAGE_A, IOVA)
			TH_LOG("%s", tlbis[i].name);
	}
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_LANDS(PAGE_B, IOVA);
}

/*
 * More VMs than there are VMIDs of 8 bits, each of which executes a TLBI: none has
 * the number of the first one, which still reaches its entries. Then the same
 * while nothing but the vIOMMU is left of the first one.
 */
TEST_F_TIMEOUT(btm, rollover, 480)
{
	const unsigned int others = self->listens ? 300 : 3;
	struct vm *vm = &self->vm;
	struct guest other;
	unsigned int i, round;

	for (round = 0; round < 2; round++) {
		count_for(self, self->vmid);
		for (i = 0; i < others; i++) {
			ASSERT_EQ(0, guest_build(&other, self->kvm, vm));
			ASSERT_EQ(0, guest_tlbi(&other, guest_vmalle1is, 0));
			guest_close(&other);
		}
		EXPECT_EQ(0, obeyed(self));
		EXPECT_EQ(0, get(self, BTM_IGNORED));
		/* A rollover is an ALLE1 */
		if (self->listens)
			EXPECT_LE(1, get(self, BTM_OBEYED(BTM_ALL)));
		EXPECT_EQ(self->vmid, vmid_of(vm, vm->viommu));
		if (round)
			break;
		EXPECT_EQ(self->listens, moved_by(self, &self->guest, guest_vmalle1is, 0));
		guest_close(&self->guest);
	}
	EXPECT_EQ(0, invalidate_one(vm, TLBI_NH_ALL, 0));
	EXPECT_LE(PAGE_A, edu_lands(&self->edu, vm, IOVA));
}

/* The device goes on without the VM, and a new VM is as the first */
TEST_F(btm, guest_first)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, guest_map(&self->guest, vm, PAGE_B));
	guest_close(&self->guest);
	EXPECT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, invalidate_one(vm, NH_VA, IOVA));
	EXPECT_LANDS(PAGE_B, IOVA);
	vm_close(vm, &self->edu);

	ASSERT_EQ(0, btm_build(vm, &self->edu, 0, &self->guest, self->kvm));
	ASSERT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(self->listens, moved_by(self, &self->guest, guest_vmalle1is, 0));
}

/* The vCPU goes on without the vIOMMU, and finds nothing to remove */
TEST_F(btm, iommufd_first)
{
	struct vm *vm = &self->vm;
	struct vm memory = *vm;
	struct guest other;

	edu_close(&self->edu);
	close(vm->fd);
	vm->fd = -1;
	count_for(self, self->vmid);
	EXPECT_EQ(0, guest_tlbi(&self->guest, guest_vmalle1is, 0));
	EXPECT_EQ(0, guest_tlbi(&self->guest, guest_vaae1is, VA(IOVA)));
	EXPECT_EQ(2, self->listens ? obeyed(self) : get(self, BTM_IGNORED));
	EXPECT_EQ(0, get(self, BTM_DROPPED(BTM_VMALL)));
	EXPECT_EQ(0, get(self, BTM_DROPPED(BTM_VAA)));

	/* The number is free on the SMMU: the same VM gets it for another vIOMMU */
	ASSERT_EQ(0, vm_build(vm, &self->edu, 0, VM_S2));
	ASSERT_EQ(IOMMU_VIOMMU_ALLOC_SHARED_VMID,
		  linked_alloc(vm, &self->edu, self->guest.fd, &vm->viommu));
	EXPECT_EQ(self->vmid, vmid_of(vm, vm->viommu));
	ASSERT_EQ(0, btm_build_more(vm, &self->edu));
	ASSERT_LANDS(PAGE_A, IOVA);
	EXPECT_EQ(0, guest_tlbi(&self->guest, guest_vmalle1is, 0));
	EXPECT_EQ(self->listens, get(self, BTM_DROPPED(BTM_VMALL)) != 0);

	ASSERT_EQ(0, guest_build(&other, self->kvm, vm));
	EXPECT_EQ(0, guest_tlbi(&other, guest_vmalle1is, 0));
	guest_close(&other);
	munmap(memory.mem, GUEST_PAGES * PAGE_SIZE);
}

static void *tlbi_thread(void *arg)
{
	struct guest *guest = arg;

	while (!guest_tlbi(guest, guest_vmalle1is, 0))
		;
	return NULL;
}

/* A process dies, with a vCPU that invalidates in the middle of a DMA */
TEST_F(btm, dies_under_dma)
{
	struct vm *vm = &self->vm;
	int i, status;
	pid_t child;

	vm_close(vm, &self->edu);
	guest_close(&self->guest);
	for (i = 0; i < 4; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct guest guest;
			pthread_t thread;
			struct vm doomed;
			struct edu edu;

			if (btm_build(&doomed, &edu, 0, &guest, self->kvm) ||
			    edu_lands(&edu, &doomed, IOVA) != PAGE_A ||
			    pthread_create(&thread, NULL, tlbi_thread, &guest))
				_exit(1);
			edu_dma_start(&edu, true, IOVA, 8);
			usleep(20000 * i);
			if (!edu_dma_runs(&edu))
				fprintf(stderr, "# the DMA has ended before\n");
			kill(getpid(), SIGKILL);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(SIGKILL, status);

		/* The next one has no entries of the last one */
		ASSERT_EQ(0, btm_build(vm, &self->edu, 0, &self->guest, self->kvm));
		ASSERT_LANDS(PAGE_A, IOVA);
		EXPECT_EQ(self->listens, moved_by(self, &self->guest, guest_vae1is,
						  OF(GUEST_ASID) | VA(IOVA)));
		vm_close(vm, &self->edu);
		guest_close(&self->guest);
	}
	ASSERT_EQ(0, btm_build(vm, &self->edu, 0, &self->guest, self->kvm));
}

TEST_HARNESS_MAIN
