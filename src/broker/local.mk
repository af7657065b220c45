noinst_LIBRARIES += src/broker/libworker.a
src_broker_libworker_a_SOURCES = %D%/worker.c %D%/worker.h %D%/conn.c %D%/conn.h %D%/reply.c %D%/reply.h \
	%D%/wait.c %D%/wait.h %D%/relay.c %D%/relay.h %D%/relay_error.c %D%/forward.h %D%/role.h %D%/part_conf.h \
	%D%/api.c %D%/api.h %D%/append.c %D%/append.h %D%/produce_check.c %D%/produce_check.h \
	%D%/api_produce.c %D%/api_fetch.c %D%/fetch.h %D%/fetch_encode.c \
	%D%/fetch_session.c %D%/fetch_session.h %D%/api_list.c %D%/api_meta.c %D%/api_records.c %D%/api_producers.c \
	%D%/api_topic.c \
	%D%/topic_create.c %D%/topic_create.h %D%/counters.h %D%/admit.c %D%/admit.h
WORKER_LIBS = src/broker/libworker.a
EXTRA_DIST += proto/counters.def
noinst_LIBRARIES += src/broker/libgroups.a
src_broker_libgroups_a_SOURCES = %D%/groups.c %D%/groups.h %D%/load.c %D%/api_group.c %D%/api_group.h %D%/api_offsets.c
GROUPS_LIBS = src/broker/libgroups.a src/group/libgroup.a
# What every process of the broker starts with: the supervisor's policy and doing, the roles' host.
noinst_LIBRARIES += src/broker/libhost.a
src_broker_libhost_a_SOURCES = %D%/main_role.c %D%/main_super.c %D%/main_open.c %D%/main_reload.c %D%/main_upgrade.c %D%/main_conf.c %D%/keeper.h %D%/host.h %D%/super.c %D%/super.h %D%/storage.c \
	%D%/metrics.c %D%/metrics.h
HOST_LIBS = src/broker/libhost.a
# The agent; links part, log, meta, client, ipc, wire, conf.
noinst_LIBRARIES += src/broker/libagent.a
src_broker_libagent_a_SOURCES = %D%/agent.c %D%/agent_register.c %D%/agent.h %D%/agent_parts.c %D%/agent_job.c
AGENT_LIBS = src/broker/libagent.a
sbin_PROGRAMS += moldau-broker
moldau_broker_SOURCES = %D%/main.c
moldau_broker_LDADD = $(HOST_LIBS) $(AGENT_LIBS) $(WORKER_LIBS) $(GROUPS_LIBS) $(PART_LIBS) $(META_LIBS) \
	$(CLIENT_LIBS) src/ipc/libipc.a src/wire/libwire.a src/wire/libcodec.a $(OS_LIBS) $(CONF_LIBS) \
	$(BASE_LIBS) $(CODEC_LIBS)
