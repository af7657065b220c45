/*
 * forward.h - frames between a worker and the processes that answer for it (agent, groups).
 *
 * A worker that meets an API served elsewhere (wire/kafka_api.h, column `served_by`) sends the whole
 * Kafka request on, and relays the answer untouched. Frames on the unix sockets:
 *
 *   request   u32 length | u64 id | u8 version = 1 | u8 listener | u16 peer length | peer text
 *             | the Kafka request frame (header + body, without its own length word)
 *   reply     u32 length | u64 id | u8 status | the Kafka response frame (without its length word)
 *
 * status: 0 answer; 1 no answer is to be sent (the worker closes the client's connection);
 * 2 the peer cannot serve now (the worker answers the API's own retriable error).
 */
#ifndef BROKER_FORWARD_H
#define BROKER_FORWARD_H

#define FORWARD_VERSION 1

enum forward_status { FORWARD_ANSWER = 0, FORWARD_CLOSE = 1, FORWARD_LATER = 2 };

#endif
