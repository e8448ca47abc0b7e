// SPDX-License-Identifier: GPL-2.0
/*
 * A live update of a VMM: a new process gets the files of a VM and goes on with
 * its objects, under the IDs that they have
 *
 * The old VMM is a child that the test forks before it opens anything. The test
 * is the new one.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "edu-test-event.h"
#include "../selftests/iommu/map_file_utils.h"

#define GUEST_SIZE	(GUEST_PAGES * PAGE_SIZE)
#define PINNED_KB	((long)(GUEST_SIZE / 1024))

enum { IOMMUFD, DEVICE, MEMORY, QUEUE, FILES };

/* What the new VMM is told; files have other numbers there */
struct state {
	struct vm vm;
	struct edu edu;
	uint32_t queue_id;
	int rc;
};

FIXTURE(update)
{
	struct vm vm;
	struct edu edu;
	uint32_t queue_id;
	int queue;
	int sock;
	pid_t old;
	int kmsg;
};

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(FILES * sizeof(int))];
};

static int send_state(int sock, struct state *state, const int *files)
{
	union control control = {};
	struct iovec iov = { .iov_base = state, .iov_len = sizeof(*state) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(FILES * sizeof(int));
	memcpy(CMSG_DATA(&control.head), files, FILES * sizeof(int));
	return sendmsg(sock, &msg, 0) == sizeof(*state) ? 0 : -errno;
}

static int receive_state(int sock, struct state *state, int *files)
{
	union control control = {};
	struct iovec iov = { .iov_base = state, .iov_len = sizeof(*state) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(sock, &msg, MSG_WAITALL) != sizeof(*state))
		return -EPIPE;
	if (control.head.cmsg_len != CMSG_LEN(FILES * sizeof(int)))
		return -EBADF;
	memcpy(files, CMSG_DATA(&control.head), FILES * sizeof(int));
	return state->rc;
}

/*
 * Build a VM, leave an event in its queue and a DMA under way, and hand it over.
 * Never returns.
 */
static void old_vmm(int sock)
{
	struct state state = {};
	int files[FILES];
	char byte;

	state.rc = vm_build_memfd(&state.vm, &state.edu, 0, VM_TRANSLATES);
	if (state.rc)
		_exit(1);
	files[IOMMUFD] = state.vm.fd;
	files[DEVICE] = state.edu.fd;
	files[MEMORY] = state.vm.memfd;
	files[QUEUE] = veventq_alloc(&state.vm, 16, &state.queue_id);
	if (edu_lands(&state.edu, &state.vm, IOVA) != PAGE_A)
		state.rc = -EFAULT;
	if (!state.rc)
		state.rc = fault(&state.edu, UNMAPPED, 1);
	memset(vm_page(&state.vm, PAGE_A), 0, PAGE_SIZE);
	edu_dma_start(&state.edu, true, IOVA, sizeof(state.edu.token));
	if (send_state(sock, &state, files))
		_exit(1);
	/* Until the test has looked at this process */
	_exit(read(sock, &byte, 1) != 1);
}

FIXTURE_SETUP(update)
{
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	self->old = fork();
	ASSERT_LE(0, self->old);
	if (!self->old) {
		close(socks[0]);
		old_vmm(socks[1]);
	}
	close(socks[1]);
	self->sock = socks[0];
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg);
	self->vm.memfd = -1;
	self->vm.fd = -1;
	self->edu.fd = -1;
	self->queue = -1;
}

FIXTURE_TEARDOWN(update)
{
	close(self->queue);
	vm_close(&self->vm, &self->edu);
	EXPECT_EQ(0, kmsg_count(self->kmsg, KERNEL_TROUBLE "|" SMMU_EVENT));
}

static long pinned_kb(pid_t pid)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return number_in(path, "VmPin");
}

/* Take the VM over, with its memory at the same address as in the old VMM */
static void take_over(struct __test_metadata *_metadata, FIXTURE_DATA(update) *self)
{
	struct state state;
	int files[FILES];

	ASSERT_EQ(0, receive_state(self->sock, &state, files));
	self->vm = state.vm;
	self->edu = state.edu;
	self->queue_id = state.queue_id;
	self->vm.fd = files[IOMMUFD];
	self->edu.fd = files[DEVICE];
	self->vm.memfd = files[MEMORY];
	self->queue = files[QUEUE];
	self->edu.bar = NULL;
	ASSERT_EQ(state.vm.mem, mmap(state.vm.mem, GUEST_SIZE,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED_NOREPLACE,
				     self->vm.memfd, 0));

	EXPECT_EQ(PINNED_KB, pinned_kb(self->old));
	EXPECT_EQ(0, pinned_kb(getpid()));
	ASSERT_EQ(0, iommufd_ioas_change_process(self->vm.fd));
	EXPECT_EQ(0, pinned_kb(self->old));
	EXPECT_EQ(PINNED_KB, pinned_kb(getpid()));
}

static void end_old_vmm(struct __test_metadata *_metadata,
			FIXTURE_DATA(update) *self, bool kill_it)
{
	int status;

	ASSERT_EQ(0, kill_it ? kill(self->old, SIGKILL) :
			       (int)write(self->sock, "", 1) - 1);
	ASSERT_EQ(self->old, waitpid(self->old, &status, 0));
	EXPECT_EQ(kill_it ? SIGKILL : 0, status);
	close(self->sock);
	EXPECT_EQ(PINNED_KB, pinned_kb(getpid()));
}

/* The VM works in this process alone */
static void go_on(struct __test_metadata *_metadata, FIXTURE_DATA(update) *self)
{
	struct vm *vm = &self->vm;
	uint32_t hwpt;

	/* What the old VMM started: a DMA and an event */
	ASSERT_EQ(0, edu_enable(&self->edu));
	EXPECT_EQ(PAGE_A, vm_find_token(vm, self->edu.token, 0));
	EXPECT_FAULT(0, UNMAPPED);

	EXPECT_EQ(PAGE_A, edu_lands(&self->edu, vm, IOVA));
	s1_map(&vm->s1, vm, IOVA, IPA(PAGE_C), PTE_PAGE);
	EXPECT_EQ(PAGE_A, edu_lands(&self->edu, vm, IOVA));
	ASSERT_EQ(0, invalidate_one(vm, TLBI_NH_VA | CMD_0_ASID(GUEST_ASID), IOVA));
	EXPECT_EQ(PAGE_C, edu_lands(&self->edu, vm, IOVA));
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(1, UNMAPPED);
	EXPECT_EQ(0, wait_in(self->queue, 0));

	/* More memory, and a new stage 1 in place of the old one */
	ASSERT_EQ(0, ioas_map(vm, PAGE_E, 1, SPARE_IPA));
	EXPECT_EQ(PINNED_KB + (long)PAGE_SIZE / 1024, pinned_kb(getpid()));
	s1_map(&vm->s1, vm, IOVA + PAGE_SIZE, SPARE_IPA, PTE_PAGE);
	ASSERT_EQ(0, s1_hwpt_alloc(&vm->s1, vm, &self->edu, &hwpt));
	ASSERT_EQ(0, edu_attach(&self->edu, hwpt));
	ASSERT_EQ(0, destroy(vm, vm->s1_hwpt));
	vm->s1_hwpt = hwpt;
	EXPECT_EQ(PAGE_E, edu_lands(&self->edu, vm, IOVA + PAGE_SIZE));
	ASSERT_EQ(0, ioas_unmap(vm, SPARE_IPA, PAGE_SIZE));
	EXPECT_EQ(PINNED_KB, pinned_kb(getpid()));
}

/* Without its device, then object by object */
static void unplug(struct __test_metadata *_metadata, FIXTURE_DATA(update) *self)
{
	struct vm *vm = &self->vm;

	ASSERT_EQ(0, edu_attach(&self->edu, vm->bypass));
	EXPECT_EQ(PAGE_B, edu_lands(&self->edu, vm, IPA(PAGE_B)));
	EXPECT_EQ(0, destroy(vm, vm->s1_hwpt));
	edu_close(&self->edu);
	EXPECT_EQ(-ENOENT, destroy(vm, vm->vdevice));
	EXPECT_EQ(-EBUSY, destroy(vm, self->queue_id));
	close(self->queue);
	self->queue = -1;
	EXPECT_EQ(0, destroy(vm, self->queue_id));
	EXPECT_EQ(0, destroy(vm, vm->bypass));
	EXPECT_EQ(0, destroy(vm, vm->abort));
	EXPECT_EQ(0, destroy(vm, vm->viommu));
	EXPECT_EQ(0, destroy(vm, vm->s2));
	EXPECT_EQ(0, ioas_unmap(vm, GUEST_IPA, GUEST_SIZE));
	EXPECT_EQ(0, destroy(vm, vm->ioas));
	EXPECT_EQ(0, pinned_kb(getpid()));
}

TEST_F(update, exit)
{
	take_over(_metadata, self);
	end_old_vmm(_metadata, self, false);
	go_on(_metadata, self);
	unplug(_metadata, self);
}

/* The old VMM has no time to close anything; the files are closed in any order */
TEST_F(update, kill)
{
	take_over(_metadata, self);
	end_old_vmm(_metadata, self, true);
	go_on(_metadata, self);
}

TEST_HARNESS_MAIN
