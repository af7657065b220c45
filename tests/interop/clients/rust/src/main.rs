// rdkafka for Rust, with the librdkafka that it brings: rust_rdkafka BOOTSTRAP.
use std::cell::RefCell;
use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use futures_executor::block_on;
use rdkafka::admin::*;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

type Done = Result<(), Box<dyn std::error::Error>>;
type Record = (i32, Option<String>, Option<String>, Vec<(String, Option<String>)>);

const WAIT: Duration = Duration::from_secs(60);

fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Done {
    if got == want { Ok(()) } else { Err(format!("got {got:?}, wanted {want:?}").into()) }
}

fn until(what: &str, mut check: impl FnMut() -> Result<bool, Box<dyn std::error::Error>>) -> Done {
    let end = Instant::now() + WAIT;
    while !check()? {
        if Instant::now() > end {
            return Err(format!("not within 60 s: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

struct Deliveries(std::sync::Mutex<Vec<(i32, i64)>>);
impl ClientContext for Deliveries {}
impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, r: &DeliveryResult<'_>, _: ()) {
        match r {
            Ok(m) => self.0.lock().unwrap().push((m.partition(), m.offset())),
            Err((e, _)) => println!("delivery: {e}"),
        }
    }
}

struct Client {
    boot: String,
    topic: String,
    group: String,
    made: Vec<Vec<Record>>,
    admin: AdminClient<DefaultClientContext>,
    failed: bool,
}

impl Client {
    fn step(&mut self, name: &str, f: impl FnOnce(&mut Client) -> Done) {
        match f(self) {
            Ok(()) => println!("ok {name}"),
            Err(e) => {
                self.failed = true;
                println!("not ok {name}: {e}");
            }
        }
    }

    fn conf(&self, extra: &[(&str, &str)]) -> ClientConfig {
        let mut c = ClientConfig::new();
        c.set("bootstrap.servers", &self.boot);
        for (k, v) in extra {
            c.set(*k, *v);
        }
        c
    }

    fn total(&self) -> usize {
        self.made.iter().map(Vec::len).sum()
    }

    fn produce(&mut self, records: Vec<Record>, extra: &[(&str, &str)]) -> Done {
        let context = Deliveries(Default::default());
        let p: ThreadedProducer<Deliveries> =
            self.conf(&[&[("linger.ms", "5")], extra].concat()).create_with_context(context)?;
        for (part, key, value, headers) in &records {
            let mut r: BaseRecord<'_, String, String> = BaseRecord::to(&self.topic).partition(*part);
            let mut h = OwnedHeaders::new();
            for (k, v) in headers {
                h = h.insert(Header { key: k, value: v.as_ref() });
            }
            r.headers = (!headers.is_empty()).then_some(h);
            r.key = key.as_ref();
            r.payload = value.as_ref();
            p.send(r).map_err(|(e, _)| e)?;
        }
        p.flush(WAIT)?;
        let want: Vec<(i32, i64)> = (0..4)
            .flat_map(|part| {
                let n = records.iter().filter(|r| r.0 == part).count() as i64;
                let from = self.made[part as usize].len() as i64;
                (from..from + n).map(move |o| (part, o))
            })
            .collect();
        let mut got = p.context().0.lock().unwrap().clone();
        got.sort();
        for r in records {
            self.made[r.0 as usize].push(r);
        }
        same(got, want)
    }

    fn batch(kind: &str, n: i32) -> Vec<Record> {
        let text = |i| Some(format!("value {kind} {i}").repeat(5));
        (0..n).map(|i| (i % 4, Some(format!("{kind}-{i}")), text(i), vec![])).collect()
    }

    fn partitions(&self) -> Result<usize, KafkaError> {
        let md = self.admin.inner().fetch_metadata(None, WAIT)?;
        Ok(md.topics().iter().find(|t| t.name() == self.topic).map_or(0, |t| t.partitions().len()))
    }

    fn create(&mut self) -> Done {
        let t = NewTopic::new(&self.topic, 2, TopicReplication::Fixed(1)).set("retention.ms", "3600000");
        let r = block_on(self.admin.create_topics([&t], &AdminOptions::new()))?;
        same(r[0].is_ok(), true)?;
        let r = block_on(self.admin.create_topics([&t], &AdminOptions::new()))?;
        same(r[0].clone(), Err((self.topic.clone(), RDKafkaErrorCode::TopicAlreadyExists)))
    }

    fn configs(&mut self) -> Done {
        let value = |c: &Client| -> Result<String, Box<dyn std::error::Error>> {
            let r = block_on(c.admin.describe_configs([&ResourceSpecifier::Topic(&c.topic)], &AdminOptions::new()))?;
            let r = r.into_iter().next().ok_or("no resource")??;
            Ok(r.get("retention.ms").and_then(|e| e.value.clone()).unwrap_or_default())
        };
        same(value(self)?, "3600000".into())?;
        let set = AlterConfig::new(ResourceSpecifier::Topic(&self.topic)).set("retention.ms", "7200000");
        block_on(self.admin.alter_configs([&set], &AdminOptions::new()))?.remove(0).map_err(|e| e.1)?;
        until("the new value", || Ok(value(self)? == "7200000"))
    }

    fn consume(&mut self) -> Done {
        let c: BaseConsumer = self.conf(&[("group.id", "none"), ("check.crcs", "true")]).create()?;
        let mut l = TopicPartitionList::new();
        for p in 0..4 {
            l.add_partition_offset(&self.topic, p, Offset::Beginning)?;
        }
        c.assign(&l)?;
        let mut n = 0;
        until("every record", || {
            while let Some(m) = c.poll(Duration::from_millis(50)) {
                let m = m?;
                let w = &self.made[m.partition() as usize][m.offset() as usize];
                let text = |b: Option<&[u8]>| b.map(|b| String::from_utf8_lossy(b).into_owned());
                same(text(m.key()), w.1.clone())?;
                same(text(m.payload()), w.2.clone())?;
                let h: Vec<_> = m.headers().map_or(vec![], |h| {
                    h.iter().map(|h| (h.key.to_string(), text(h.value))).collect()
                });
                same(h, w.3.clone())?;
                n += 1;
            }
            Ok(n == self.total())
        })
    }

    fn two_members(&mut self) -> Done {
        let member = || -> Result<BaseConsumer, KafkaError> {
            let c: BaseConsumer = self
                .conf(&[("group.id", &self.group), ("auto.offset.reset", "earliest"), ("enable.auto.commit", "false"),
                    ("session.timeout.ms", "10000"), ("heartbeat.interval.ms", "300"),
                    ("partition.assignment.strategy", "roundrobin")])
                .create()?;
            c.subscribe(&[&self.topic])?;
            Ok(c)
        };
        let seen = RefCell::new(HashSet::new());
        let turn = |c: &BaseConsumer| -> Result<usize, Box<dyn std::error::Error>> {
            while let Some(m) = c.poll(Duration::from_millis(20)) {
                let m = m?;
                seen.borrow_mut().insert((m.partition(), m.offset()));
            }
            Ok(c.assignment()?.count())
        };
        let a = member()?;
        until("all for one", || Ok(turn(&a)? == 4))?;
        let b = member()?;
        until("two each", || Ok((turn(&a)?, turn(&b)?) == (2, 2)))?;
        until("every record", || {
            turn(&a)?;
            turn(&b)?;
            Ok(seen.borrow().len() == self.total())
        })?;
        for c in [&a, &b] {
            let mut l = TopicPartitionList::new();
            for e in c.assignment()?.elements() {
                let end = self.made[e.partition() as usize].len() as i64;
                l.add_partition_offset(e.topic(), e.partition(), Offset::Offset(end))?;
            }
            c.commit(&l, CommitMode::Sync)?;
        }
        let g = a.fetch_group_list(Some(&self.group), WAIT)?;
        same((g.groups()[0].state(), g.groups()[0].members().len()), ("Stable", 2))?;
        drop(b);
        until("the rest goes to the one that is left", || Ok(turn(&a)? == 4))
    }

    fn offsets(&mut self) -> Done {
        let c: BaseConsumer = self.conf(&[("group.id", &self.group), ("enable.auto.commit", "false")]).create()?;
        let mut l = TopicPartitionList::new();
        for p in 0..4 {
            l.add_partition(&self.topic, p);
        }
        for e in c.committed_offsets(l, WAIT)?.elements() {
            let n = self.made[e.partition() as usize].len() as i64;
            same(e.offset(), Offset::Offset(n))?;
            same(c.fetch_watermarks(&self.topic, e.partition(), WAIT)?, (0, n))?;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64;
        for (at, want) in [(1000, Offset::Offset(0)), (now + 100_000_000, Offset::End)] {
            let mut l = TopicPartitionList::new();
            l.add_partition_offset(&self.topic, 1, Offset::Offset(at))?;
            same(c.offsets_for_times(l, WAIT)?.elements()[0].offset(), want)?;
        }
        Ok(())
    }

    fn delete_records(&mut self) -> Done {
        let mut l = TopicPartitionList::new();
        l.add_partition_offset(&self.topic, 0, Offset::Offset(100))?;
        let r = block_on(self.admin.delete_records(&l, &AdminOptions::new()))?;
        same(r.elements()[0].offset(), Offset::Offset(100))?;
        same(self.admin.inner().fetch_watermarks(&self.topic, 0, WAIT)?.0, 100)
    }
}

fn main() {
    let boot = std::env::args().nth(1).expect("BOOTSTRAP");
    let id = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u32;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &boot);
    let mut c = Client {
        admin: config.create().expect("admin"),
        boot,
        topic: format!("rust-{id:08x}"),
        group: format!("g-rust-{id:08x}"),
        made: vec![vec![]; 4],
        failed: false,
    };
    println!("version 0.39.0 on librdkafka {}", rdkafka::util::get_rdkafka_version().1);
    c.step("create", Client::create);
    c.step("describe", |c| same(c.partitions()?, 2));
    c.step("partitions", |c| {
        let p = NewPartitions::new(&c.topic, 4);
        block_on(c.admin.create_partitions([&p], &AdminOptions::new()))?.remove(0).map_err(|e| e.1)?;
        until("four partitions", || Ok(c.partitions()? == 4))
    });
    c.step("configs", Client::configs);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        c.step(&format!("produce-{codec}"), |c| c.produce(Client::batch(codec, 400), &[("compression.type", codec)]));
    }
    c.step("nulls-headers", |c| {
        let h = |k: &str, v: Option<&str>| (k.to_string(), v.map(str::to_string));
        c.produce(vec![(0, None, None, vec![]), (2, Some("k".into()), None, vec![]), (1, None, Some("v".into()),
            vec![h("a", Some("1")), h("a", Some("2")), h("none", None), h("empty", Some(""))])], &[])
    });
    c.step("idempotent", |c| {
        c.produce(Client::batch("once", 1000), &[("enable.idempotence", "true"), ("batch.num.messages", "10")])
    });
    c.step("consume", Client::consume);
    c.step("group", Client::two_members);
    c.step("offsets", Client::offsets);
    c.step("delete-records", Client::delete_records);
    c.step("delete-group", |c| {
        block_on(c.admin.delete_groups(&[&c.group], &AdminOptions::new()))?.remove(0).map_err(|e| e.1)?;
        Ok(())
    });
    c.step("delete", |c| {
        block_on(c.admin.delete_topics(&[&c.topic], &AdminOptions::new()))?.remove(0).map_err(|e| e.1)?;
        until("the topic is gone", || Ok(c.partitions()? == 0))
    });
    std::process::exit(if c.failed { 1 } else { 0 });
}
