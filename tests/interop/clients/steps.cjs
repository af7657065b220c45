// Steps of one client program; see steps.py.
"use strict";
const assert = require("node:assert");

let failed = false;

async function step(name, body) {
	let timer;
	const late = new Promise((_, no) => { timer = setTimeout(() => no(new Error("not done in 90 s")), 90000); });
	try {
		await Promise.race([body(), late]);
		console.log("ok " + name);
	} catch (e) {
		if (e.skip)
			return console.log(`skip ${name}: ${e.skip}`);
		failed = true;
		console.log(e.stack || e);
		console.log(`not ok ${name}: ${String(e.message || e).replace(/\n/g, " ")}`);
	} finally {
		clearTimeout(timer);
	}
}

async function until(what, check, seconds = 60) {
	for (const end = Date.now() + seconds * 1000; ;) {
		const v = await check();
		if (v)
			return v;
		assert(Date.now() < end, `not within ${seconds} s: ${what}`);
		await new Promise(r => setTimeout(r, 20));
	}
}

const same = assert.deepStrictEqual;
const finish = () => process.exit(failed ? 1 : 0);

module.exports = { step, until, same, assert, finish };
