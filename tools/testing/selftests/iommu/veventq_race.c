// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races on a vEVENTQ: several readers, and events while queues are created and
 * destroyed
 */
#include "veventq_utils.h"

/* Several readers */

#define SHARED_EVENTS 20000

struct shared {
	int fd;
	atomic_bool stop;
	atomic_uchar seen[SHARED_EVENTS];
	atomic_uint wrong;
	atomic_uint losses;
};

/* Reads up to three records at a time, in order */
static void *share_queue(void *arg)
{
	struct pollfd p = { .events = POLLIN };
	struct shared *s = arg;
	unsigned char buf[3 * RECORD];
	struct vevent_record r;
	__s64 last = -1;
	bool stop;
	int rc, at;

	p.fd = s->fd;
	for (;;) {
		stop = s->stop;
		if (poll(&p, 1, 5) < 0)
			s->wrong++;
		rc = read_events(s->fd, buf, sizeof(buf));
		if (rc < 0)
			s->wrong++;
		if (!rc && stop)
			break;
		for (at = 0; at < rc; at += RECORD) {
			memset(&r, 0, sizeof(r));
			memcpy(&r, buf + at, rc - at < (int)RECORD ? HEADER :
								     RECORD);
			if (r.header.sequence >= SHARED_EVENTS) {
				s->wrong++;
				break;
			}
			if (r.header.flags) {
				/* Events may follow in a read of their own */
				s->losses++;
				at -= RECORD - HEADER;
				if (r.header.sequence <= last)
					s->wrong++;
				continue;
			}
			if (r.header.sequence <= last ||
			    r.event.virt_id != VIRT_ID)
				s->wrong++;
			last = r.header.sequence;
			s->seen[r.header.sequence]++;
		}
	}
	return NULL;
}

static int run_shared(struct vm *vm, unsigned int depth, struct shared *s)
{
	pthread_t thread[2];
	__u32 queue;
	int rc, i;

	memset(s, 0, sizeof(*s));
	rc = veventq_alloc(vm->fd, vm->viommu, depth, &queue, &s->fd);
	if (rc)
		return rc;
	for (i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, share_queue, s))
			return -EAGAIN;
	rc = trigger(vm->fd, vm->dev, SHARED_EVENTS);
	s->stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (poll_now(s->fd) || s->wrong)
		rc = -EPROTO;
	close(s->fd);
	return rc ?: destroy(vm->fd, queue);
}

TEST_F_TIMEOUT(veventq, two_readers, 120)
{
	struct shared *s = malloc(sizeof(*s));
	unsigned int i, read;

	ASSERT_NE(NULL, s);
	OK(run_shared(&self->vm, SHARED_EVENTS, s));
	EXPECT_EQ(0, s->losses);
	for (i = 0; i < SHARED_EVENTS; i++)
		ASSERT_EQ(1, s->seen[i]) {
			TH_LOG("event %u", i);
		}

	/* The same while events are lost all the time */
	OK(run_shared(&self->vm, 2, s));
	for (i = 0, read = 0; i < SHARED_EVENTS; i++) {
		ASSERT_GE(1, s->seen[i]) {
			TH_LOG("event %u", i);
		}
		read += s->seen[i];
	}
	TH_LOG("%u of %u events read, %u losses told", read, SHARED_EVENTS,
	       s->losses);
	EXPECT_LT(0, read);
	free(s);
}

/* Everything at the same time */

struct storm {
	int fd;
	struct vm *vm;
	atomic_bool stop;
	atomic_uint queues;
	atomic_uint events;
	atomic_uint wrong;
};

static void *storm_trigger(void *arg)
{
	struct storm *s = arg;
	int rc;

	while (!s->stop) {
		rc = mock_trigger_vevent(s->fd, s->vm->dev);
		if (!rc)
			s->events++;
		else if (rc != -EOPNOTSUPP && rc != -ENOENT)
			s->wrong++;
	}
	return NULL;
}

static void *storm_queue(void *arg)
{
	unsigned char buf[10 * RECORD];
	struct storm *s = arg;
	__u32 queue;
	int rc, events, i;

	while (!s->stop) {
		rc = veventq_alloc(s->fd, s->vm->viommu, 3, &queue, &events);
		if (rc == -EEXIST)
			continue;
		if (rc) {
			s->wrong++;
			continue;
		}
		s->queues++;
		for (i = 0; i < 4; i++) {
			rc = read_events(events, buf, sizeof(buf));
			if (rc < 0 || poll_now(events) & ~READABLE)
				s->wrong++;
		}
		rc = destroy(s->fd, queue);
		if (rc != -EBUSY)
			s->wrong++;
		close(events);
		if (destroy(s->fd, queue))
			s->wrong++;
	}
	return NULL;
}

static void *storm_vdevice(void *arg)
{
	struct storm *s = arg;
	__u32 vdevice;

	while (!s->stop) {
		if (vdevice_alloc(s->fd, s->vm->viommu, s->vm->dev, VIRT_ID,
				  &vdevice)) {
			s->wrong++;
			continue;
		}
		nap(1);
		if (destroy(s->fd, vdevice))
			s->wrong++;
	}
	return NULL;
}

TEST_F_TIMEOUT(veventq, all_at_once, 60)
{
	static void *(*const what[])(void *) = {
		storm_trigger, storm_trigger, storm_queue,
		storm_queue,   storm_vdevice,
	};
	struct storm s = { .fd = self->fd, .vm = &self->vm };
	pthread_t thread[ARRAY_SIZE(what)];
	unsigned int i;

	OK(destroy(self->fd, self->vdevice));
	for (i = 0; i < ARRAY_SIZE(what); i++)
		OK(pthread_create(&thread[i], NULL, what[i], &s));
	nap(3000);
	s.stop = true;
	for (i = 0; i < ARRAY_SIZE(what); i++)
		OK(pthread_join(thread[i], NULL));
	EXPECT_EQ(0, s.wrong);
	EXPECT_LT(0, s.queues);
	EXPECT_LT(0, s.events);
	TH_LOG("%u queues, %u events", s.queues, s.events);
	/* For the teardown */
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
}

TEST_HARNESS_MAIN
