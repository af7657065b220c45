/*
 * kafka_api.c - the rows of kafka_api.h, by key.
 *
 * LIVE takes the versions from the schema (proto/kafka), whose ranges are those of Kafka 4.4;
 * RANGE says where a release serves others.
 */
#include "wire/kafka_api.h"

#define RANGE(num, NAME, text, type, lo, hi, advertised, by, op, res, quota_class) \
	[num] = { num, text, lo, hi, advertised, KAFKA_##NAME##_FLEXIBLE, API_##by, OP_##op, \
		  RES_##res, QUOTA_##quota_class, &wire_##type##_request, &wire_##type##_response },
#define LIVE(num, NAME, text, type, by, op, res, quota_class) \
	RANGE(num, NAME, text, type, KAFKA_##NAME##_MIN, KAFKA_##NAME##_MAX, KAFKA_##NAME##_MIN, \
	      by, op, res, quota_class)
#define RESERVED(num, text) \
	[num] = { num, text, 0, -1, 0, INT16_MAX, API_NONE, OP_CLUSTER_ACTION, RES_CLUSTER, \
		  QUOTA_NONE, NULL, NULL },

const struct kafka_api kafka_apis[] = {
	/* Advertised from 0: old clients compress only if they see it (KAFKA-18659). */
	RANGE(0, PRODUCE, "Produce", produce, 3, 13, 0, WORKER, WRITE, TOPIC, PRODUCE)
	LIVE(1, FETCH, "Fetch", fetch, WORKER, READ, TOPIC, FETCH)
	LIVE(2, LIST_OFFSETS, "ListOffsets", list_offsets, WORKER, DESCRIBE, TOPIC, REQUEST)
	LIVE(3, METADATA, "Metadata", metadata, WORKER, DESCRIBE, TOPIC, REQUEST)
	RESERVED(4, "LeaderAndIsr")
	RESERVED(5, "StopReplica")
	RESERVED(6, "UpdateMetadata")
	RESERVED(7, "ControlledShutdown")
	/* Sarama before 1.37 sends version 1 unasked (tests/interop/sarama-old); its own commit times are not kept. */
	RANGE(8, OFFSET_COMMIT, "OffsetCommit", offset_commit, 1, 10, 2, GROUPS, READ, GROUP, REQUEST)
	LIVE(9, OFFSET_FETCH, "OffsetFetch", offset_fetch, GROUPS, DESCRIBE, GROUP, REQUEST)
	LIVE(10, FIND_COORDINATOR, "FindCoordinator", find_coordinator,
	     GROUPS, DESCRIBE, BY_REQUEST, REQUEST)
	LIVE(11, JOIN_GROUP, "JoinGroup", join_group, GROUPS, READ, GROUP, REQUEST)
	LIVE(12, HEARTBEAT, "Heartbeat", heartbeat, GROUPS, READ, GROUP, REQUEST)
	LIVE(13, LEAVE_GROUP, "LeaveGroup", leave_group, GROUPS, READ, GROUP, REQUEST)
	LIVE(14, SYNC_GROUP, "SyncGroup", sync_group, GROUPS, READ, GROUP, REQUEST)
	LIVE(15, DESCRIBE_GROUPS, "DescribeGroups", describe_groups,
	     GROUPS, DESCRIBE, GROUP, REQUEST)
	LIVE(16, LIST_GROUPS, "ListGroups", list_groups, GROUPS, DESCRIBE, BY_REQUEST, REQUEST)
	LIVE(17, SASL_HANDSHAKE, "SaslHandshake", sasl_handshake, NONE, NONE, NONE, NONE)
	LIVE(18, API_VERSIONS, "ApiVersions", api_versions, WORKER, NONE, NONE, NONE)
	LIVE(19, CREATE_TOPICS, "CreateTopics", create_topics,
	     AGENT, CREATE, BY_REQUEST, CONTROLLER)
	LIVE(20, DELETE_TOPICS, "DeleteTopics", delete_topics, AGENT, DELETE, TOPIC, CONTROLLER)
	LIVE(21, DELETE_RECORDS, "DeleteRecords", delete_records, WORKER, DELETE, TOPIC, REQUEST)
	/* Version 6 (two-phase commit) is not stable in 4.4. */
	RANGE(22, INIT_PRODUCER_ID, "InitProducerId", init_producer_id, 0, 5, 0,
	     AGENT, WRITE, BY_REQUEST, REQUEST)
	LIVE(23, OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", offset_for_leader_epoch,
	     WORKER, DESCRIBE, TOPIC, REQUEST)
	LIVE(24, ADD_PARTITIONS_TO_TXN, "AddPartitionsToTxn", add_partitions_to_txn,
	     NONE, WRITE, TRANSACTIONAL_ID, REQUEST)
	LIVE(25, ADD_OFFSETS_TO_TXN, "AddOffsetsToTxn", add_offsets_to_txn,
	     NONE, WRITE, TRANSACTIONAL_ID, REQUEST)
	LIVE(26, END_TXN, "EndTxn", end_txn, NONE, WRITE, TRANSACTIONAL_ID, REQUEST)
	LIVE(27, WRITE_TXN_MARKERS, "WriteTxnMarkers", write_txn_markers,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(28, TXN_OFFSET_COMMIT, "TxnOffsetCommit", txn_offset_commit,
	     NONE, WRITE, TRANSACTIONAL_ID, REQUEST)
	LIVE(29, DESCRIBE_ACLS, "DescribeAcls", describe_acls, NONE, DESCRIBE, CLUSTER, REQUEST)
	LIVE(30, CREATE_ACLS, "CreateAcls", create_acls, NONE, ALTER, CLUSTER, REQUEST)
	LIVE(31, DELETE_ACLS, "DeleteAcls", delete_acls, NONE, ALTER, CLUSTER, REQUEST)
	LIVE(32, DESCRIBE_CONFIGS, "DescribeConfigs", describe_configs,
	     AGENT, DESCRIBE_CONFIGS, BY_REQUEST, REQUEST)
	LIVE(33, ALTER_CONFIGS, "AlterConfigs", alter_configs,
	     AGENT, ALTER_CONFIGS, BY_REQUEST, REQUEST)
	LIVE(34, ALTER_REPLICA_LOG_DIRS, "AlterReplicaLogDirs", alter_replica_log_dirs,
	     NONE, ALTER, CLUSTER, REQUEST)
	LIVE(35, DESCRIBE_LOG_DIRS, "DescribeLogDirs", describe_log_dirs,
	     NONE, DESCRIBE, CLUSTER, REQUEST)
	LIVE(36, SASL_AUTHENTICATE, "SaslAuthenticate", sasl_authenticate, NONE, NONE, NONE, NONE)
	LIVE(37, CREATE_PARTITIONS, "CreatePartitions", create_partitions,
	     AGENT, ALTER, TOPIC, CONTROLLER)
	LIVE(38, CREATE_DELEGATION_TOKEN, "CreateDelegationToken", create_delegation_token,
	     NONE, CREATE_TOKENS, USER, REQUEST)
	LIVE(39, RENEW_DELEGATION_TOKEN, "RenewDelegationToken", renew_delegation_token,
	     NONE, NONE, DELEGATION_TOKEN, REQUEST)
	LIVE(40, EXPIRE_DELEGATION_TOKEN, "ExpireDelegationToken", expire_delegation_token,
	     NONE, NONE, DELEGATION_TOKEN, REQUEST)
	LIVE(41, DESCRIBE_DELEGATION_TOKEN, "DescribeDelegationToken", describe_delegation_token,
	     NONE, DESCRIBE_TOKENS, BY_REQUEST, REQUEST)
	LIVE(42, DELETE_GROUPS, "DeleteGroups", delete_groups, GROUPS, DELETE, GROUP, REQUEST)
	LIVE(43, ELECT_LEADERS, "ElectLeaders", elect_leaders, NONE, ALTER, CLUSTER, REQUEST)
	LIVE(44, INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", incremental_alter_configs,
	     AGENT, ALTER_CONFIGS, BY_REQUEST, REQUEST)
	LIVE(45, ALTER_PARTITION_REASSIGNMENTS, "AlterPartitionReassignments", alter_partition_reassignments,
	     NONE, ALTER, CLUSTER, REQUEST)
	LIVE(46, LIST_PARTITION_REASSIGNMENTS, "ListPartitionReassignments", list_partition_reassignments,
	     NONE, DESCRIBE, CLUSTER, REQUEST)
	LIVE(47, OFFSET_DELETE, "OffsetDelete", offset_delete, GROUPS, DELETE, GROUP, REQUEST)
	LIVE(48, DESCRIBE_CLIENT_QUOTAS, "DescribeClientQuotas", describe_client_quotas,
	     NONE, DESCRIBE_CONFIGS, CLUSTER, REQUEST)
	LIVE(49, ALTER_CLIENT_QUOTAS, "AlterClientQuotas", alter_client_quotas,
	     NONE, ALTER_CONFIGS, CLUSTER, REQUEST)
	LIVE(50, DESCRIBE_USER_SCRAM_CREDENTIALS, "DescribeUserScramCredentials", describe_user_scram_credentials,
	     NONE, DESCRIBE, CLUSTER, REQUEST)
	LIVE(51, ALTER_USER_SCRAM_CREDENTIALS, "AlterUserScramCredentials", alter_user_scram_credentials,
	     NONE, ALTER, CLUSTER, REQUEST)
	LIVE(52, VOTE, "Vote", vote, NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(53, BEGIN_QUORUM_EPOCH, "BeginQuorumEpoch", begin_quorum_epoch,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(54, END_QUORUM_EPOCH, "EndQuorumEpoch", end_quorum_epoch,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(55, DESCRIBE_QUORUM, "DescribeQuorum", describe_quorum,
	     NONE, DESCRIBE, CLUSTER, REQUEST)
	LIVE(56, ALTER_PARTITION, "AlterPartition", alter_partition,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(57, UPDATE_FEATURES, "UpdateFeatures", update_features, NONE, ALTER, CLUSTER, REQUEST)
	LIVE(58, ENVELOPE, "Envelope", envelope, NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(59, FETCH_SNAPSHOT, "FetchSnapshot", fetch_snapshot,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(60, DESCRIBE_CLUSTER, "DescribeCluster", describe_cluster,
	     WORKER, DESCRIBE, CLUSTER, REQUEST)
	LIVE(61, DESCRIBE_PRODUCERS, "DescribeProducers", describe_producers,
	     WORKER, READ, TOPIC, REQUEST)
	LIVE(62, BROKER_REGISTRATION, "BrokerRegistration", broker_registration,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(63, BROKER_HEARTBEAT, "BrokerHeartbeat", broker_heartbeat,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(64, UNREGISTER_BROKER, "UnregisterBroker", unregister_broker,
	     NONE, ALTER, CLUSTER, REQUEST)
	LIVE(65, DESCRIBE_TRANSACTIONS, "DescribeTransactions", describe_transactions,
	     NONE, DESCRIBE, TRANSACTIONAL_ID, REQUEST)
	LIVE(66, LIST_TRANSACTIONS, "ListTransactions", list_transactions,
	     NONE, DESCRIBE, TRANSACTIONAL_ID, REQUEST)
	LIVE(67, ALLOCATE_PRODUCER_IDS, "AllocateProducerIds", allocate_producer_ids,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(68, CONSUMER_GROUP_HEARTBEAT, "ConsumerGroupHeartbeat", consumer_group_heartbeat,
	     NONE, READ, GROUP, REQUEST)
	LIVE(69, CONSUMER_GROUP_DESCRIBE, "ConsumerGroupDescribe", consumer_group_describe,
	     NONE, DESCRIBE, GROUP, REQUEST)
	LIVE(70, CONTROLLER_REGISTRATION, "ControllerRegistration", controller_registration,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(71, GET_TELEMETRY_SUBSCRIPTIONS, "GetTelemetrySubscriptions", get_telemetry_subscriptions,
	     NONE, NONE, NONE, REQUEST)
	LIVE(72, PUSH_TELEMETRY, "PushTelemetry", push_telemetry, NONE, NONE, NONE, REQUEST)
	LIVE(73, ASSIGN_REPLICAS_TO_DIRS, "AssignReplicasToDirs", assign_replicas_to_dirs,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(74, LIST_CONFIG_RESOURCES, "ListConfigResources", list_config_resources,
	     WORKER, DESCRIBE_CONFIGS, CLUSTER, REQUEST)
	LIVE(75, DESCRIBE_TOPIC_PARTITIONS, "DescribeTopicPartitions", describe_topic_partitions,
	     WORKER, DESCRIBE, TOPIC, REQUEST)
	LIVE(76, SHARE_GROUP_HEARTBEAT, "ShareGroupHeartbeat", share_group_heartbeat,
	     NONE, READ, GROUP, REQUEST)
	LIVE(77, SHARE_GROUP_DESCRIBE, "ShareGroupDescribe", share_group_describe,
	     NONE, DESCRIBE, GROUP, REQUEST)
	LIVE(78, SHARE_FETCH, "ShareFetch", share_fetch, NONE, READ, GROUP, FETCH)
	LIVE(79, SHARE_ACKNOWLEDGE, "ShareAcknowledge", share_acknowledge,
	     NONE, READ, GROUP, REQUEST)
	LIVE(80, ADD_RAFT_VOTER, "AddRaftVoter", add_raft_voter, NONE, ALTER, CLUSTER, REQUEST)
	LIVE(81, REMOVE_RAFT_VOTER, "RemoveRaftVoter", remove_raft_voter,
	     NONE, ALTER, CLUSTER, REQUEST)
	LIVE(82, UPDATE_RAFT_VOTER, "UpdateRaftVoter", update_raft_voter,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(83, INITIALIZE_SHARE_GROUP_STATE, "InitializeShareGroupState", initialize_share_group_state,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(84, READ_SHARE_GROUP_STATE, "ReadShareGroupState", read_share_group_state,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(85, WRITE_SHARE_GROUP_STATE, "WriteShareGroupState", write_share_group_state,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(86, DELETE_SHARE_GROUP_STATE, "DeleteShareGroupState", delete_share_group_state,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(87, READ_SHARE_GROUP_STATE_SUMMARY, "ReadShareGroupStateSummary", read_share_group_state_summary,
	     NONE, CLUSTER_ACTION, CLUSTER, NONE)
	LIVE(88, STREAMS_GROUP_HEARTBEAT, "StreamsGroupHeartbeat", streams_group_heartbeat,
	     NONE, READ, GROUP, REQUEST)
	LIVE(89, STREAMS_GROUP_DESCRIBE, "StreamsGroupDescribe", streams_group_describe,
	     NONE, DESCRIBE, GROUP, REQUEST)
	LIVE(90, DESCRIBE_SHARE_GROUP_OFFSETS, "DescribeShareGroupOffsets", describe_share_group_offsets,
	     NONE, DESCRIBE, GROUP, REQUEST)
	LIVE(91, ALTER_SHARE_GROUP_OFFSETS, "AlterShareGroupOffsets", alter_share_group_offsets,
	     NONE, READ, GROUP, REQUEST)
	LIVE(92, DELETE_SHARE_GROUP_OFFSETS, "DeleteShareGroupOffsets", delete_share_group_offsets,
	     NONE, DELETE, GROUP, REQUEST)
	LIVE(93, STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE, "StreamsGroupTopologyDescriptionUpdate",
	     streams_group_topology_description_update, NONE, READ, GROUP, REQUEST)
	LIVE(94, UNREGISTER_CONTROLLER, "UnregisterController", unregister_controller,
	     NONE, ALTER, CLUSTER, REQUEST)
};
const uint32_t kafka_apis_n = sizeof kafka_apis / sizeof *kafka_apis;

const struct kafka_api *kafka_api(int16_t key)
{
	return key >= 0 && (uint32_t)key < kafka_apis_n ? &kafka_apis[key] : NULL;
}

bool kafka_api_serves(const struct kafka_api *api, int16_t version)
{
	return api->served_by != API_NONE && api->min <= version && version <= api->max;
}

const struct kafka_profile *kafka_profile(struct str name)
{
	static const struct kafka_profile profiles[] = {
		{ "4.4", kafka_apis, sizeof kafka_apis / sizeof *kafka_apis },
	};

	for (uint32_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
		if (str_is(name, profiles[i].name))
			return &profiles[i];
	return NULL;
}

int kafka_request_header_version(const struct kafka_api *api, int16_t version)
{
	return version >= api->flexible ? 2 : 1;
}

int kafka_response_header_version(const struct kafka_api *api, int16_t version)
{
	return version >= api->flexible && api->key != KAFKA_API_VERSIONS ? 1 : 0;
}
