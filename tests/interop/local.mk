# Unmodified clients against a cluster; see tests/interop/interop.py and docs/clients.md.
# make check-clients [CLIENTS="franz-go kcat"]
.PHONY: check-clients
check-clients: all
	MOLDAU_BUILD=$(abs_builddir) INTEROP_CACHE=$(abs_builddir)/interop-cache $(srcdir)/tests/interop/run $(CLIENTS)

# The same requests to Apache Kafka and to Moldau; see docs/kafka-differences.md.
# make check-kafka-diff [KAFKA_DIFF="--verbose --suite fetch"]
.PHONY: check-kafka-diff
check-kafka-diff: all
	INTEROP_CACHE=$(abs_builddir)/interop-cache $(srcdir)/%D%/kafka-diff/run --build $(abs_builddir) $(KAFKA_DIFF)

# kazoo's own tests against moldau-quorum; see docs/zookeeper.md.
.PHONY: check-kazoo
check-kazoo: all
	MOLDAU_BUILD=$(abs_builddir) $(srcdir)/tests/kazoo/run

# Random requests to moldau-quorum and to ZooKeeper; see docs/zookeeper.md.
# make check-zookeeper-fuzz [FUZZ="--requests 1000000 --version 3.9.5"]
.PHONY: check-zookeeper-fuzz
check-zookeeper-fuzz: all
	MOLDAU_BUILD=$(abs_builddir) INTEROP_CACHE=$(abs_builddir)/interop-cache $(srcdir)/tests/zkfuzz/run $(FUZZ)

EXTRA_DIST += %D%
