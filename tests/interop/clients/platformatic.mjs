// @platformatic/kafka: platformatic.mjs BOOTSTRAP, run in a folder that has it in node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import zlib from "node:zlib";
import steps from "./steps.cjs";

const { step, until, same, assert, finish } = steps;
const here = createRequire(process.cwd() + "/");
const { Admin, Consumer, Producer, ConfigResourceTypes, stringDeserializers, stringSerializers, MessagesStreamModes,
	ListOffsetTimestamps } = await import(pathToFileURL(here.resolve("@platformatic/kafka")));
const boot = { clientId: "t", bootstrapBrokers: [process.argv[2]] };
const topic = "platformatic-" + Math.random().toString(16).slice(2, 10);
const group = "g-" + topic;
const made = [[], [], [], []];
const admin = new Admin(boot);
const total = () => made.reduce((n, v) => n + v.length, 0);

async function produce(records, options) {
	const p = new Producer({ ...boot, serializers: stringSerializers, autocreateTopics: false, ...options });
	const r = await p.send({ messages: records.map(m => ({ topic, ...m })), acks: -1 });
	for (const o of r.offsets ?? [])
		same(Number(o.offset), made[o.partition].length);
	for (const m of records)
		made[m.partition].push(m);
	await p.close();
}

const batch = (kind, n) => [...Array(n).keys()].map(i => ({ partition: i % 4, key: `${kind}-${i}`, value: `value ${kind} ${i}` }));

async function member(groupId, got, options) {
	const c = new Consumer({ ...boot, groupId, deserializers: stringDeserializers, sessionTimeout: 10000,
		heartbeatInterval: 300, rebalanceTimeout: 20000, maxWaitTime: 100, ...options });
	const s = await c.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false });
	s.on("data", m => got.push(m));
	return c;
}

const groups = async () => (await admin.describeGroups({ groups: [group] })).get(group);
const shares = async () => {
	const d = await groups();
	return d.state !== "STABLE" && d.state !== "Stable" ? "" :
		[...d.members.values()].map(m => [...(m.assignments?.values() ?? [])].reduce((n, a) => n + a.partitions.length, 0)).sort().join();
};

console.log("version " + JSON.parse(readFileSync("node_modules/@platformatic/kafka/package.json")).version);
await step("create", async () => {
	const r = await admin.createTopics({ topics: [topic], partitions: 2, replicas: 1, configs: [{ name: "retention.ms", value: "3600000" }] });
	same([r[0].name, r[0].partitions], [topic, 2]);
	await assert.rejects(admin.createTopics({ topics: [topic], partitions: 2, replicas: 1 }));
});
await step("describe", async () => {
	const d = (await admin.metadata({ topics: [topic] }));
	same([d.topics.get(topic).partitionsCount, d.topics.get(topic).partitions[0].leader, d.id.length], [2, 1, 22]);
});
await step("partitions", async () => {
	await admin.createPartitions({ topics: [{ name: topic, count: 4, assignments: null }] });
	await until("four partitions", async () => (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitionsCount === 4);
});
await step("configs", async () => {
	const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic };
	const value = async () => (await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: ["retention.ms"] }] }))[0].configs[0].value;
	same(await value(), "3600000");
	await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [{ name: "retention.ms", configOperation: 0, value: "7200000" }] }] });
	await until("the new value", async () => await value() === "7200000");
});
for (const codec of ["none", "gzip", "snappy", "lz4", "zstd"])
	await step("produce-" + codec, async () => {
		if (codec === "zstd" && !zlib.zstdCompressSync)
			throw { skip: "this Node.js has no zstd" };
		await produce(batch(codec, 400), { compression: codec });
	});
await step("nulls-headers", () => produce([{ partition: 1, value: "v", headers: { a: "1", empty: "" } }, { partition: 2, key: "k" }]));
await step("idempotent", () => produce(batch("once", 1000), { idempotent: true }));
await step("consume", async () => {
	const got = [];
	const c = await member("all-" + group, got);
	await until("every record", () => got.length === total());
	await c.close(true);
	for (let p = 0; p < 4; p++) {
		const v = got.filter(m => m.partition === p);
		for (let i = 0; i < made[p].length; i++) {
			same([Number(v[i].offset), v[i].value || null], [i, made[p][i].value ?? null]);
			if (made[p][i].headers)
				same([v[i].headers.get("a"), v[i].headers.get("empty")], ["1", ""]);
		}
	}
});
await step("group", async () => {
	const got = [];
	const a = await member(group, got);
	await until("all for one", async () => await shares() === "4");
	const b = await member(group, got);
	await until("two each", async () => await shares() === "2,2");
	await until("every record", () => new Set(got.map(m => `${m.partition}/${m.offset}`)).size === total());
	await b.close(true);
	await until("the rest goes to the one that is left", async () => await shares() === "4");
	await a.commit({ offsets: made.map((v, p) => ({ topic, partition: p, offset: BigInt(v.length), leaderEpoch: -1 })) });
	assert((await admin.listGroups({ types: ["classic"] })).has(group));
	await a.close(true);
});
await step("offsets", async () => {
	const o = (await admin.listConsumerGroupOffsets({ groups: [{ groupId: group }] }))[0].topics[0].partitions;
	same(o.map(p => [p.partitionIndex, Number(p.committedOffset)]).sort(), made.map((v, p) => [p, v.length]));
	const at = async t => (await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: t }] }] }))[0].partitions[0];
	same(Number((await at(ListOffsetTimestamps.LATEST)).offset), made[0].length);
	same(Number((await at(ListOffsetTimestamps.EARLIEST)).offset), 0);
	same(Number((await at(1000n)).offset), 0);
	same(Number((await at(BigInt(Date.now() + 10 ** 8))).offset), -1);
});
await step("delete-records", async () => {
	const r = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 100n }] }] });
	same(Number(r[0].partitions[0].lowWatermark), 100);
});
await step("delete-group", () => admin.deleteGroups({ groups: [group] }));
await step("delete", async () => {
	await admin.deleteTopics({ topics: [topic] });
	await until("the topic is gone", async () => !(await admin.listTopics()).includes(topic));
});
await admin.close();
finish();
