// kafkajs: kafkajs.cjs BOOTSTRAP, run in a folder that has it in node_modules.
"use strict";
const { createRequire } = require("node:module");
const here = createRequire(process.cwd() + "/");
const { Kafka, logLevel, CompressionTypes } = here("kafkajs");
const { step, until, same, assert, finish } = require("./steps.cjs");

const kafka = new Kafka({ clientId: "t", brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const topic = "kafkajs-" + Math.random().toString(16).slice(2, 10);
const group = "g-" + topic;
const made = [[], [], [], []];

async function produce(records, options, extra) {
	const p = kafka.producer(options);
	await p.connect();
	const r = await p.send({ topic, messages: records, acks: -1, ...extra });
	for (const x of r)
		same(x.errorCode, 0);
	for (const m of records)
		made[m.partition].push(m);
	await p.disconnect();
}

const batch = (kind, n) => [...Array(n).keys()].map(i => ({ partition: i % 4, key: `${kind}-${i}`, value: `value ${kind} ${i}` }));
const total = () => made.reduce((n, v) => n + v.length, 0);
const text = b => b === null ? null : b.toString();

async function member(got) {
	const c = kafka.consumer({ groupId: group, sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 10000 });
	await c.connect();
	await c.subscribe({ topics: [topic], fromBeginning: true });
	await c.run({ autoCommitInterval: 200, eachMessage: async ({ partition, message }) => { got.add(`${partition}/${message.offset}`); } });
	return c;
}

async function shares() {
	const d = (await admin.describeGroups([group])).groups[0];
	if (d.state !== "Stable")
		return "";
	const { AssignerProtocol } = here("kafkajs");
	return d.members.map(m => AssignerProtocol.MemberAssignment.decode(m.memberAssignment).assignment[topic]?.length ?? 0).sort().join();
}

(async () => {
	console.log("version " + here("kafkajs/package.json").version);
	await admin.connect();
	await step("create", async () => {
		same(await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 2, replicationFactor: 1,
			configEntries: [{ name: "retention.ms", value: "3600000" }] }] }), true);
		same(await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] }), false);
	});
	await step("describe", async () => {
		const d = await admin.fetchTopicMetadata({ topics: [topic] });
		same(d.topics[0].partitions.map(p => [p.partitionId, p.leader, p.isr]).sort(), [[0, 1, [1]], [1, 1, [1]]]);
		const c = await admin.describeCluster();
		same([c.controller, c.clusterId.length, c.brokers.length], [1, 22, 1]);
	});
	await step("partitions", async () => {
		await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] });
		await until("four partitions", async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 4);
	});
	await step("configs", async () => {
		const value = async () => (await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: 2, name: topic }] }))
			.resources[0].configEntries.find(e => e.configName === "retention.ms").configValue;
		same(await value(), "3600000");
		await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic,
			configEntries: [{ name: "retention.ms", value: "7200000" }] }] });
		await until("the new value", async () => await value() === "7200000");
	});
	await step("produce-none", () => produce(batch("none", 400)));
	await step("produce-gzip", () => produce(batch("gzip", 400), {}, { compression: CompressionTypes.GZIP }));
	await step("nulls-headers", () => produce([{ partition: 0, key: null, value: null },
		{ partition: 1, value: "v", headers: { a: "1", b: ["2", "3"], empty: "" } }, { partition: 2, key: "k", value: null },
		{ partition: 3, key: "", value: "" }]));
	await step("idempotent", () => produce(batch("once", 1000), { idempotent: true, maxInFlightRequests: 1 }));
	await step("consume", async () => {
		const c = kafka.consumer({ groupId: "all-" + group });
		const got = [[], [], [], []];
		await c.connect();
		await c.subscribe({ topics: [topic], fromBeginning: true });
		await c.run({ autoCommit: false, eachMessage: async ({ partition, message }) => { got[partition].push(message); } });
		await until("every record", () => got.reduce((n, v) => n + v.length, 0) === total());
		await c.disconnect();
		for (let p = 0; p < 4; p++)
			for (let i = 0; i < made[p].length; i++) {
				const m = got[p][i], w = made[p][i];
				same([m.offset, text(m.key), text(m.value)], [String(i), w.key ?? null, w.value]);
				if (w.headers)
					same([text(m.headers.a), m.headers.b.map(text), text(m.headers.empty)], ["1", ["2", "3"], ""]);
			}
	});
	await step("group", async () => {
		const got = new Set();
		const a = await member(got);
		await until("all for one", async () => await shares() === "4");
		const b = await member(got);
		await until("two each", async () => await shares() === "2,2");
		await until("every record", () => got.size === total());
		await b.disconnect();
		await until("the rest goes to the one that is left", async () => await shares() === "4");
		assert((await admin.listGroups()).groups.some(g => g.groupId === group));
		await until("the commits", async () => (await admin.fetchOffsets({ groupId: group, topics: [topic] }))[0].partitions
			.every(p => Number(p.offset) === made[p.partition].length));
		await a.disconnect();
	});
	await step("offsets", async () => {
		same((await admin.fetchTopicOffsets(topic)).map(p => [p.partition, p.low, Number(p.high)]).sort(),
			made.map((v, p) => [p, "0", v.length]));
		await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "3" }] });
		same((await admin.fetchOffsets({ groupId: group, topics: [topic] }))[0].partitions.find(p => p.partition === 0).offset, "3");
		same((await admin.fetchTopicOffsetsByTimestamp(topic, 1000)).map(p => p.offset), ["0", "0", "0", "0"]);
		// What is above every timestamp: this client asks for the end then.
		same((await admin.fetchTopicOffsetsByTimestamp(topic, Date.now() + 10 ** 8)).map(p => Number(p.offset)).sort(),
			made.map(v => v.length).sort());
	});
	await step("delete-records", async () => {
		await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "100" }] });
		same((await admin.fetchTopicOffsets(topic)).find(p => p.partition === 0).low, "100");
	});
	await step("delete-group", async () => {
		same((await admin.deleteGroups([group]))[0].errorCode ?? 0, 0);
	});
	await step("delete", async () => {
		await admin.deleteTopics({ topics: [topic] });
		await until("the topic is gone", async () => !(await admin.listTopics()).includes(topic));
	});
	await admin.disconnect();
	finish();
})();
