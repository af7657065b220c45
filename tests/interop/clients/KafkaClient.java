// Java's kafka-clients: java -cp CLASSPATH KafkaClient.java BOOTSTRAP. Written for every release since 2.8.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class KafkaClient {
    static final String TOPIC = "java-" + UUID.randomUUID().toString().substring(0, 8), GROUP = "g-" + TOPIC;
    static final List<List<ProducerRecord<String, String>>> made = new ArrayList<>();
    static String boot;
    static boolean failed;
    static Admin admin;

    interface Body { void run() throws Exception; }

    static void step(String name, Body body) {
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Throwable e) {
            failed = true;
            e.printStackTrace(System.out);
            System.out.println("not ok " + name + ": " + e);
        }
    }

    static void same(Object got, Object want) {
        if (!Objects.equals(got, want))
            throw new AssertionError("got " + got + ", wanted " + want);
    }

    static void until(String what, Callable<Boolean> check) throws Exception {
        for (long end = System.nanoTime() + 60_000_000_000L; !check.call(); Thread.sleep(10))
            if (System.nanoTime() > end)
                throw new AssertionError("not within 60 s: " + what);
    }

    static <T> T get(KafkaFuture<T> f) throws Exception {
        return f.get(60, TimeUnit.SECONDS);
    }

    static Map<String, Object> conf(Object... v) {
        Map<String, Object> m = new HashMap<>();
        m.put("bootstrap.servers", boot);
        for (int i = 0; i < v.length; i += 2)
            m.put((String) v[i], v[i + 1]);
        return m;
    }

    static ProducerRecord<String, String> record(int p, String key, String value, Object... headers) {
        ProducerRecord<String, String> r = new ProducerRecord<>(TOPIC, p, key, value);
        for (int i = 0; i < headers.length; i += 2)
            r.headers().add(new RecordHeader((String) headers[i], (byte[]) headers[i + 1]));
        return r;
    }

    static void produce(List<ProducerRecord<String, String>> records, Object... extra) throws Exception {
        Map<String, Object> c = conf("linger.ms", 5, "acks", "all");
        c.putAll(conf(extra));
        StringSerializer text = new StringSerializer();
        try (KafkaProducer<String, String> p = new KafkaProducer<>(c, text, text)) {
            List<Future<RecordMetadata>> sent = records.stream().map(p::send).collect(Collectors.toList());
            for (int i = 0; i < records.size(); i++) {
                RecordMetadata m = sent.get(i).get(60, TimeUnit.SECONDS);
                same(m.offset(), (long) made.get(m.partition()).size());
                made.get(m.partition()).add(records.get(i));
            }
        }
    }

    static List<ProducerRecord<String, String>> batch(String kind, int n) {
        return IntStream.range(0, n)
            .mapToObj(i -> record(i % 4, kind + i, "value " + kind + " " + i + " " + kind.repeat(10)))
            .collect(Collectors.toList());
    }

    static KafkaConsumer<String, String> consumer(Object... extra) {
        Map<String, Object> c = conf("enable.auto.commit", false, "auto.offset.reset", "earliest");
        c.putAll(conf(extra));
        return new KafkaConsumer<>(c, new StringDeserializer(), new StringDeserializer());
    }

    static List<TopicPartition> parts() {
        return IntStream.range(0, 4).mapToObj(p -> new TopicPartition(TOPIC, p)).collect(Collectors.toList());
    }

    static int total() {
        return made.stream().mapToInt(List::size).sum();
    }

    static TopicDescription described() throws Exception {
        // values() is what 2.8 has and 4 still has under another name.
        DescribeTopicsResult r = admin.describeTopics(Collections.singleton(TOPIC));
        try {
            return get(futures(r, "topicNameValues").get(TOPIC));
        } catch (NoSuchMethodException e) {
            return get(futures(r, "values").get(TOPIC));
        }
    }

    @SuppressWarnings("unchecked")
    static Map<String, KafkaFuture<TopicDescription>> futures(DescribeTopicsResult r, String method) throws Exception {
        return (Map<String, KafkaFuture<TopicDescription>>) DescribeTopicsResult.class.getMethod(method).invoke(r);
    }

    static String retention() throws Exception {
        ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        return get(admin.describeConfigs(Collections.singleton(r)).all()).get(r).get("retention.ms").value();
    }

    static void create() throws Exception {
        CreateTopicsResult r = admin.createTopics(List.of(new NewTopic(TOPIC, Optional.of(2), Optional.empty())
            .configs(Map.of("retention.ms", "3600000"))));
        same(get(r.numPartitions(TOPIC)), 2);
        same(get(r.replicationFactor(TOPIC)), 1);
        same(get(r.config(TOPIC)).get("retention.ms").value(), "3600000");
        try {
            get(admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all());
            throw new AssertionError("a topic was created twice");
        } catch (ExecutionException e) {
            same(e.getCause().getClass(), TopicExistsException.class);
        }
    }

    static void describe() throws Exception {
        TopicDescription d = described();
        same(d.partitions().size(), 2);
        same(d.partitions().get(0).leader().id(), 1);
        same(d.isInternal(), false);
        DescribeClusterResult c = admin.describeCluster();
        same(get(c.controller()).id(), 1);
        same(get(c.nodes()).size(), 1);
        same(get(c.clusterId()).length(), 22);
    }

    static void configs() throws Exception {
        ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        same(retention(), "3600000");
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        get(admin.incrementalAlterConfigs(Map.of(r, List.of(set))).all());
        until("the new value", () -> retention().equals("7200000"));
        ConfigResource b = new ConfigResource(ConfigResource.Type.BROKER, "1");
        Config bc = get(admin.describeConfigs(List.of(b), new DescribeConfigsOptions().includeSynonyms(true)
            .includeDocumentation(true)).all()).get(b);
        if (bc.entries().size() < 50 || bc.get("log.dirs").value() == null)
            throw new AssertionError("broker configs: " + bc.entries().size());
    }

    static void consume() throws Exception {
        try (KafkaConsumer<String, String> c = consumer("check.crcs", true)) {
            c.assign(parts());
            c.seekToBeginning(parts());
            int n = 0;
            for (long end = System.nanoTime() + 60_000_000_000L; n < total() && System.nanoTime() < end;)
                for (ConsumerRecord<String, String> r : c.poll(Duration.ofMillis(200))) {
                    ProducerRecord<String, String> w = made.get(r.partition()).get((int) r.offset());
                    same(r.key(), w.key());
                    same(r.value(), w.value());
                    same(Arrays.asList(r.headers().toArray()), Arrays.asList(w.headers().toArray()));
                    n++;
                }
            same(n, total());
        }
    }

    static void turn(Set<List<Object>> got, List<KafkaConsumer<String, String>> v) {
        for (KafkaConsumer<String, String> c : v)
            for (ConsumerRecord<String, String> r : c.poll(Duration.ofMillis(20)))
                got.add(List.of(r.partition(), r.offset()));
    }

    static void group(String assignor) throws Exception {
        Object[] extra = { "group.id", GROUP, "session.timeout.ms", 10000, "heartbeat.interval.ms", 300,
            "partition.assignment.strategy", assignor };
        Set<List<Object>> got = new HashSet<>();
        KafkaConsumer<String, String> a = consumer(extra), b = consumer(extra);
        a.subscribe(List.of(TOPIC));
        until("all for one", () -> { turn(got, List.of(a)); return a.assignment().size() == 4; });
        b.subscribe(List.of(TOPIC));
        // A poll of one blocks while the other is not polled: each has its own thread.
        var stop = new java.util.concurrent.atomic.AtomicBoolean();
        Set<List<Object>> other = ConcurrentHashMap.newKeySet();
        var owned = new java.util.concurrent.atomic.AtomicInteger();
        CompletableFuture<Void> t = CompletableFuture.runAsync(() -> {
            while (!stop.get()) {
                turn(other, List.of(b));
                owned.set(b.assignment().size());
            }
        });
        try {
            until("two each", () -> { turn(got, List.of(a)); return a.assignment().size() == 2 && owned.get() == 2; });
            until("every record", () -> {
                turn(got, List.of(a));
                Set<List<Object>> all = new HashSet<>(got);
                all.addAll(other);
                return all.size() == total();
            });
        } finally {
            stop.set(true);
            t.get(60, TimeUnit.SECONDS);
        }
        for (KafkaConsumer<String, String> c : List.of(a, b))
            c.commitSync(c.assignment().stream().collect(Collectors.toMap(p -> p,
                p -> new OffsetAndMetadata(made.get(p.partition()).size(), "note"))));
        same(members(), 2);
        b.close();
        until("the rest goes to the one that is left", () -> {
            turn(got, List.of(a));
            return a.assignment().size() == 4;
        });
        same(get(admin.listConsumerGroups().all()).stream().map(g -> g.groupId()).filter(GROUP::equals).count(), 1L);
        a.close();
    }

    static Map<TopicPartition, OffsetAndMetadata> committed() throws Exception {
        return get(admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata());
    }

    static int members() throws Exception {
        return get(admin.describeConsumerGroups(List.of(GROUP)).all()).get(GROUP).members().size();
    }

    static void offsets() throws Exception {
        List<TopicPartition> tps = parts();
        Map<TopicPartition, OffsetAndMetadata> c = committed();
        Map<TopicPartition, ListOffsetsResult.ListOffsetsResultInfo> ends = get(admin.listOffsets(tps.stream()
            .collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()))).all());
        for (TopicPartition p : tps) {
            same(ends.get(p).offset() - c.get(p).offset(), 0L);         // the lag
            same(c.get(p).metadata(), "note");
        }
        until("the group is empty", () -> members() == 0);
        get(admin.alterConsumerGroupOffsets(GROUP, Map.of(tps.get(0), new OffsetAndMetadata(3))).all());
        try (KafkaConsumer<String, String> k = consumer("group.id", GROUP)) {
            same(k.committed(new HashSet<>(tps)).get(tps.get(0)).offset(), 3L);
            k.assign(tps.subList(1, 2));
            k.seek(tps.get(1), 50);
            List<ConsumerRecord<String, String>> got = new ArrayList<>();
            until("a record", () -> {
                k.poll(Duration.ofMillis(100)).forEach(got::add);
                return !got.isEmpty();
            });
            same(got.get(0).offset(), 50L);
            long at = got.get(0).timestamp();
            OffsetAndTimestamp o = k.offsetsForTimes(Map.of(tps.get(1), at)).get(tps.get(1));
            same(o.timestamp(), at);
            same(o.offset() <= 50, true);
            same(k.offsetsForTimes(Map.of(tps.get(1), at + 100_000_000)).get(tps.get(1)), null);
            same(k.beginningOffsets(tps).get(tps.get(2)), 0L);
        }
        get(admin.deleteConsumerGroupOffsets(GROUP, Set.of(tps.get(0))).all());
        same(committed().containsKey(tps.get(0)), false);
    }

    static void deleteRecords() throws Exception {
        List<TopicPartition> tps = parts();
        Map<TopicPartition, KafkaFuture<DeletedRecords>> r = admin.deleteRecords(Map.of(
            tps.get(0), RecordsToDelete.beforeOffset(100),
            tps.get(1), RecordsToDelete.beforeOffset(-1))).lowWatermarks();
        same(get(r.get(tps.get(0))).lowWatermark(), 100L);
        same(get(r.get(tps.get(1))).lowWatermark(), (long) made.get(1).size());
        same(get(admin.listOffsets(Map.of(tps.get(0), OffsetSpec.earliest())).all()).get(tps.get(0)).offset(), 100L);
    }

    public static void main(String[] args) throws Exception {
        boot = args[0];
        for (int i = 0; i < 4; i++)
            made.add(new ArrayList<>());
        System.out.println("version " + System.getProperty("version", "?"));
        admin = Admin.create(conf());
        step("create", KafkaClient::create);
        step("describe", KafkaClient::describe);
        step("partitions", () -> {
            get(admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(4))).all());
            until("four partitions", () -> described().partitions().size() == 4);
        });
        step("configs", KafkaClient::configs);
        for (String codec : new String[] { "none", "gzip", "snappy", "lz4", "zstd" })
            step("produce-" + codec, () -> produce(batch(codec, 400), "compression.type", codec));
        step("nulls-headers", () -> produce(List.of(record(0, null, null), record(2, "k", null), record(3, "", ""),
            record(1, null, "v", "a", "1".getBytes(), "a", "2".getBytes(), "null", null, "empty", new byte[0]))));
        step("idempotent", () -> produce(batch("once", 1000), "enable.idempotence", true, "batch.size", 1000));
        step("consume", KafkaClient::consume);
        step("group", () -> group("org.apache.kafka.clients.consumer.RangeAssignor"));
        step("group-cooperative", () -> {
            until("the group is gone", () -> {
                try {
                    get(admin.deleteConsumerGroups(List.of(GROUP)).all());
                    return true;
                } catch (ExecutionException e) {
                    return false;       // the last member has not left yet
                }
            });
            group("org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        });
        step("offsets", KafkaClient::offsets);
        step("delete-records", KafkaClient::deleteRecords);
        step("delete-group", () -> get(admin.deleteConsumerGroups(List.of(GROUP)).all()));
        step("delete", () -> {
            get(admin.deleteTopics(List.of(TOPIC)).all());
            until("the topic is gone", () -> !get(admin.listTopics().names()).contains(TOPIC));
        });
        admin.close(Duration.ofSeconds(5));
        System.out.flush();
        System.exit(failed ? 1 : 0);
    }
}
