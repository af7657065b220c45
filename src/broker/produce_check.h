/*
 * produce_check.h - what a producer sent for one partition: is it sound, and how is it stored.
 */
#ifndef BROKER_PRODUCE_CHECK_H
#define BROKER_PRODUCE_CHECK_H

#include "base/buf.h"
#include "broker/conn.h"
#include "io/work.h"
#include "meta/image.h"
#include "part/part.h"
#include "wire/batch.h"

struct produce_checked {
	int16_t error;			/* Kafka's code; 0: *batch is ready for the log */
	bool early;			/* refused before the log was looked at: no log start is told */
	const char *message;		/* text of the answer, or NULL */
	int32_t record_errors_n;	/* trap 33 */
	int32_t *record_errors;		/* in the request's arena */
	uint8_t *recoded;		/* memory behind batch->rest; mem_free() after the append; or NULL */
	uint32_t bytes;			/* as it goes to the log */
};

/*
 * head: 61 private bytes that live until the append is done. False: the batch unpacks to more than one turn
 * of the loop may take, nothing was decided; produce_check_big() is to do it.
 */
bool produce_check(struct req *q, const struct image_topic *t, struct bytes records,
		   uint8_t head[BATCH_HEAD], struct part_batch *batch, struct produce_checked *ret) MUST_CHECK;

struct produce_big {			/* a check on the work port's thread */
	struct work work;
	struct req *q;
	struct image_conf conf;		/* the topic's when it was begun */
	struct bytes records;
	uint8_t *head;
	struct part_batch *batch;
	struct produce_checked *ret;
	struct batch_rules rules;
	struct batch_checked checked;
	struct buf recoded;
	int recode_err;
	void (*done)(struct produce_big *b);	/* *ret is filled in, *batch when it has no error */
};

/* The same off the loop. b and all it points to must live until b->done(). */
void produce_check_big(struct produce_big *b, struct req *q, const struct image_topic *t, struct bytes records,
		       uint8_t head[BATCH_HEAD], struct part_batch *batch, struct produce_checked *ret);

#endif
