/*
 * block.h - layout of an image block, for its builder and its reader only. Host byte order: a block
 * never leaves its machine. All positions are bytes from the block's start and 8-byte aligned but
 * for text.
 */
#ifndef META_BLOCK_H
#define META_BLOCK_H

#include <stdint.h>

#include "base/str.h"
#include "meta/image.h"

#define BLOCK_MAGIC 0x4d4f4c44494d4731u	/* "MOLDIMG1" */
#define BLOCK_VERSION 1

struct block_text {
	uint32_t at;
	int32_t len;			/* -1: null */
};

struct block_topic {
	struct block_text name;
	struct uuid id;
	uint32_t first;			/* index of its first partition */
	int32_t partitions;
	uint32_t internal;
	uint32_t pad;
	struct image_conf conf;
};

struct block_part {
	int32_t leader, leader_epoch, partition_epoch;
	uint32_t slot;
	uint32_t ids;			/* index into the numbers: replicas, isr, elr */
	uint16_t replicas_n, isr_n, elr_n, pad;
};

struct block_broker {
	int64_t epoch;
	int32_t id;
	uint32_t fenced;
	struct block_text rack;
	uint32_t first;
	uint32_t endpoints;
};

struct block_endpoint {
	struct block_text listener, host;
	uint32_t port;
	uint32_t pad;
};

struct block_head {
	uint64_t magic;
	uint32_t version;
	uint32_t head_bytes;
	uint64_t bytes;
	uint64_t gen;
	int64_t zxid;
	int32_t self, controller;
	struct block_text cluster_id;
	uint32_t topics_n, parts_n, numbers_n, brokers_n, endpoints_n, pad;
	uint64_t topics, by_id, parts, numbers, brokers, endpoints;
};

#endif
