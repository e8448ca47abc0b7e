// SPDX-License-Identifier: GPL-2.0
/* More events than a queue holds, and several readers: see edu-test-event.c */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "edu-test-event.h"

TEST_F(event, overflows)
{
	const unsigned int total = 4 * STORM;
	struct record record;
	uint8_t buf[256];
	unsigned int i;

	REQUEUE(2);
	for (i = 0; i < total; i += STORM)
		ASSERT_EQ(0, fault(&self->edu, UNMAPPED, STORM));
	EXPECT_EQ(2 * 40 + 8, try_read(self->queue, buf, sizeof(buf)));
	for (i = 0; i < 2; i++) {
		memcpy(&record, buf + i * 40, sizeof(record));
		EXPECT_EQ(0, record.header.flags);
		EXPECT_EQ(i, record.header.sequence);
		EXPECT_EQ(UNMAPPED + i * WORD, record.evt[2]);
	}
	memcpy(&record.header, buf + 80, sizeof(record.header));
	EXPECT_EQ(IOMMU_VEVENTQ_FLAG_LOST_EVENTS, record.header.flags);
	EXPECT_EQ(total - 1, record.header.sequence);
	EXPECT_EQ(0, try_read(self->queue, buf, sizeof(buf)));

	/* The whole depth is available again */
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 2));
	EXPECT_FAULT(total, UNMAPPED);
	EXPECT_FAULT(total + 1, UNMAPPED + WORD);
	EXPECT_EQ(0, wait_in(self->queue, 200));

	/* An event after a loss replaces its header */
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 3));
	EXPECT_FAULT(total + 2, UNMAPPED);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	EXPECT_FAULT(total + 3, UNMAPPED + WORD);
	EXPECT_FAULT(total + 5, UNMAPPED);
	EXPECT_EQ(0, wait_in(self->queue, 200));

	/* A buffer for the header alone */
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 5));
	EXPECT_EQ(80, try_read(self->queue, buf, 80));
	EXPECT_EQ(POLLIN, wait_in(self->queue, 0));
	EXPECT_EQ(-EINVAL, try_read(self->queue, buf, 7));
	EXPECT_EQ(8, try_read(self->queue, buf, 8));
	memcpy(&record.header, buf, sizeof(record.header));
	EXPECT_EQ(total + 10, record.header.sequence);
	EXPECT_EQ(0, wait_in(self->queue, 0));
}

/* Tracks the records of a queue */
struct follower {
	int queue;
	int pause;		/* between two reads, in microseconds */
	size_t count;		/* of a read() */
	uint32_t first;		/* number to start with */
	uint32_t last;		/* number to end with */
	uint32_t records;
	uint32_t losses;
	int wrong;
};

/* Checks the order of records; true at the last one */
static bool follow(struct follower *f, const struct record *record, int64_t *at)
{
	uint32_t sequence = record->header.sequence;
	bool lost = record->header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS;

	if (record->header.flags & ~IOMMU_VEVENTQ_FLAG_LOST_EVENTS ||
	    (int64_t)sequence <= *at)
		f->wrong++;
	if (!lost && record->evt[2] != UNMAPPED + (sequence - f->first) % STORM * WORD)
		f->wrong++;
	*at = sequence;
	f->records += !lost;
	f->losses += lost;
	return sequence == f->last;
}

static void *follow_queue(void *arg)
{
	struct follower *f = arg;
	int64_t at = (int64_t)f->first - 1;
	uint8_t buf[16 * sizeof(struct record)], *p;
	bool end = false;
	ssize_t len;

	while (!end && !f->wrong) {
		if (wait_in(f->queue, 20000) != POLLIN)
			f->wrong++;
		len = try_read(f->queue, buf, f->count);
		for (p = buf; p < buf + len; ) {
			struct record record = {};
			bool lost = *p & IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
			size_t size = lost ? 8 : sizeof(record);

			memcpy(&record, p, size);
			end = follow(f, &record, &at);
			p += size;
		}
		if (len < 0 || p != buf + len)
			f->wrong++;
		usleep(f->pause);
	}
	return NULL;
}

TEST_F(event, traces)
{
	unsigned int i;

	REQUEUE(2);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 3));
	ASSERT_EQ(0, trace_stop());
	for (i = 0; i < 2; i++)
		EXPECT_EQ(1, traced("iommufd_veventq_report",
				    "veventq=%u type=0x1 sequence=%u", self->queue_id, i));
	EXPECT_EQ(1, traced("iommufd_veventq_report",
			    "veventq=%u type=0x1 sequence=2 lost", self->queue_id));
}

TEST_F_TIMEOUT(event, slow_reader, 600)
{
	const unsigned int total = 98 * STORM;
	struct follower f = {
		.pause = 500,
		.count = sizeof(struct record),
		.last = total - 1,
	};
	pthread_t thread;
	unsigned int i;

	REQUEUE(2);
	f.queue = self->queue;
	ASSERT_EQ(0, pthread_create(&thread, NULL, follow_queue, &f));
	for (i = 0; i < total; i += STORM)
		ASSERT_EQ(0, fault(&self->edu, UNMAPPED, STORM));
	pthread_join(thread, NULL);
	TH_LOG("%u events, %u of them read, %u times a loss", total, f.records, f.losses);
	EXPECT_EQ(0, f.wrong);
	EXPECT_LT(2, f.records);
	EXPECT_GT(total, f.records);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 2));
	EXPECT_FAULT(total, UNMAPPED);
	EXPECT_FAULT(total + 1, UNMAPPED + WORD);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Overflow and drain repeatedly, every second time with a reader waiting */
TEST_F_TIMEOUT(event, overflows_again, 480)
{
	struct follower f = { .count = 16 * sizeof(struct record) };
	unsigned int rounds = 0, lossy = 0, base = 0, n;
	double end = now() + 20;
	pthread_t thread;

	REQUEUE(2);
	f.queue = self->queue;
	for (; now() < end && !f.wrong; rounds++, base += n) {
		n = 3 + rounds * 37 % (STORM - 2);
		f.first = base;
		f.last = base + n - 1;
		f.losses = 0;
		f.records = 0;
		f.pause = rounds % 4 * 500;
		edu_dma_start(&self->edu, true, UNMAPPED, n * WORD);
		if (rounds % 2)
			ASSERT_EQ(0, edu_dma_wait(&self->edu));
		ASSERT_EQ(0, pthread_create(&thread, NULL, follow_queue, &f));
		ASSERT_EQ(0, edu_dma_wait(&self->edu));
		pthread_join(thread, NULL);
		lossy += f.records < n;
	}
	TH_LOG("%u rounds, %u of them lossy, %u events", rounds, lossy, base);
	EXPECT_EQ(0, f.wrong);
	EXPECT_LT(0, lossy);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 2));
	EXPECT_FAULT(base, UNMAPPED);
	EXPECT_FAULT(base + 1, UNMAPPED + WORD);
}

/* Several readers */

#define SHARED_TOTAL	(16 * STORM)

struct sharer {
	int queue;
	size_t count;
	uint32_t got;
	int wrong;
	atomic_uchar *seen;	/* how often, by number */
	atomic_uint *total;
};

static void *share_queue(void *arg)
{
	struct sharer *s = arg;
	struct record records[16];
	ssize_t len, i;

	while (*s->total < SHARED_TOTAL && !s->wrong) {
		if (wait_in(s->queue, 20000) < 0)
			break;
		len = try_read(s->queue, records, s->count);
		if (len < 0 || len % sizeof(records[0]))
			s->wrong++;
		for (i = 0; i < len / (ssize_t)sizeof(records[0]); i++) {
			uint32_t sequence = records[i].header.sequence;

			if (records[i].header.flags || sequence >= SHARED_TOTAL ||
			    records[i].evt[2] != UNMAPPED + sequence % STORM * WORD) {
				s->wrong++;
				break;
			}
			s->seen[sequence]++;
			s->got++;
			++*s->total;
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(event, two_readers, 240)
{
	static atomic_uchar seen[SHARED_TOTAL];
	atomic_uint total = 0;
	struct sharer sharers[2];
	pthread_t threads[2];
	unsigned int i;

	REQUEUE(SHARED_TOTAL);
	for (i = 0; i < 2; i++) {
		sharers[i] = (struct sharer){
			.queue = self->queue,
			.count = sizeof(struct record) * (i ? 16 : 1),
			.seen = seen,
			.total = &total,
		};
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, share_queue, &sharers[i]));
	}
	for (i = 0; i < SHARED_TOTAL / STORM; i++)
		ASSERT_EQ(0, fault(&self->edu, UNMAPPED, STORM));
	/* One reader may sleep while the other gets the last record */
	for (i = 0; i < 200 && total < SHARED_TOTAL; i++)
		usleep(100 * 1000);
	ASSERT_EQ(0, fault(&self->edu, UNMAPPED, 1));
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	TH_LOG("%u events: %u and %u", SHARED_TOTAL, sharers[0].got, sharers[1].got);
	EXPECT_LT(0, sharers[0].got);
	EXPECT_LT(0, sharers[1].got);
	for (i = 0; i < SHARED_TOTAL; i++) {
		ASSERT_EQ(1, seen[i]) {
			TH_LOG("event %u", i);
		}
	}
}

TEST_HARNESS_MAIN
