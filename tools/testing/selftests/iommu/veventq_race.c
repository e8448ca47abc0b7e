// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races on a vEVENTQ: several readers, and events while queues are created and
 * destroyed
 */
#include "race.h"
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

TEST_F_TIMEOUT(veventq, two_readers, 480)
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

enum {
	TRIGGER_EVENT,
	QUEUE_ALLOC,
	READ_EVENTS,
	DESTROY_QUEUE,
	VDEVICE,
	DESTROY_VDEVICE,
};

struct storm {
	int fd;
	struct vm *vm;
	atomic_bool stop;
	struct race_log log;
};

static void *storm_trigger(void *arg)
{
	struct storm *s = arg;

	while (!s->stop)
		race_note(&s->log, TRIGGER_EVENT,
			  mock_trigger_vevent(s->fd, s->vm->dev),
			  EOPNOTSUPP, ENOENT);
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
		if (!race_note(&s->log, QUEUE_ALLOC, rc, EEXIST))
			continue;
		for (i = 0; i < 4; i++) {
			rc = read_events(events, buf, sizeof(buf));
			if (poll_now(events) & ~READABLE)
				rc = -EPROTO;
			/* There may be none yet */
			if (rc)
				race_note(&s->log, READ_EVENTS, rc < 0 ? rc : 0,
					  0);
		}
		rc = destroy(s->fd, queue);
		race_note(&s->log, DESTROY_QUEUE, rc ?: -EPROTO, EBUSY);
		close(events);
		race_note(&s->log, DESTROY_QUEUE, destroy(s->fd, queue), 0);
	}
	return NULL;
}

static void *storm_vdevice(void *arg)
{
	struct storm *s = arg;
	__u32 vdevice;
	int rc;

	while (!s->stop) {
		rc = vdevice_alloc(s->fd, s->vm->viommu, s->vm->dev, VIRT_ID,
				   &vdevice);
		if (!race_note(&s->log, VDEVICE, rc, 0))
			continue;
		nap(1);
		race_note(&s->log, DESTROY_VDEVICE, destroy(s->fd, vdevice), 0);
	}
	return NULL;
}

TEST_F_TIMEOUT(veventq, all_at_once, 240)
{
	static void *(*const what[])(void *) = {
		storm_trigger, storm_trigger, storm_queue,
		storm_queue,   storm_vdevice,
	};
	struct storm s = {
		.fd = self->fd,
		.vm = &self->vm,
		.log.ops = {
			[TRIGGER_EVENT].name = "event",
			[QUEUE_ALLOC].name = "veventq_alloc",
			[READ_EVENTS].name = "read",
			[DESTROY_QUEUE].name = "destroy queue",
			[VDEVICE].name = "vdevice_alloc",
			[DESTROY_VDEVICE].name = "destroy vdevice",
		},
	};
	const unsigned int ops = (1U << (DESTROY_VDEVICE + 1)) - 1;
	pthread_t thread[ARRAY_SIZE(what)];
	unsigned int i;

	OK(destroy(self->fd, self->vdevice));
	for (i = 0; i < ARRAY_SIZE(what); i++)
		OK(pthread_create(&thread[i], NULL, what[i], &s));
	race_wait(&s.log, 3000, ops);
	s.stop = true;
	for (i = 0; i < ARRAY_SIZE(what); i++)
		OK(pthread_join(thread[i], NULL));
	RACE_EXPECT(&s.log, ops);
	/* For the teardown */
	OK(vdevice_alloc(self->fd, self->vm.viommu, self->vm.dev, VIRT_ID,
			 &self->vdevice));
}

TEST_HARNESS_MAIN
